"""Faults of the explorer as answers: `{"error": one line}`; what is ours goes to the log, and no path of ours out."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from devise.errors import DeviseError, ImageError, VocabularyError
from devise.show.explorer.corpus import NotLive
from devise.show.explorer.guard import Refused
from devise.show.explorer.uploads import Busy

REJECTED = {"too_large": 413, "not_an_image": 415, "unsupported": 415}
"""Status by reject code of a picture that was given; 422 of any other."""
log = logging.getLogger("devise.explorer")


def tell(app: FastAPI) -> None:
    """Give the application an answer to every fault."""

    def told(status: int, line: str, **headers: str) -> JSONResponse:
        return JSONResponse({"error": line.splitlines()[0] if line else "unknown"}, status, headers)

    async def refused(_: Request, error: Refused) -> JSONResponse:
        return told(error.status, error.line)

    async def asked_wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return told(422, f"{first['loc'][-1]}: {first['msg']}")

    async def by_status(_: Request, error: HTTPException) -> JSONResponse:
        return told(error.status_code, str(error.detail), **(error.headers or {}))

    async def ours(_: Request, error: DeviseError) -> JSONResponse:
        if isinstance(error, VocabularyError):
            return told(422, str(error))
        if isinstance(error, ImageError):
            return told(REJECTED.get(error.code, 422), f"{error.code}: {error}")
        log.error("%s", error)
        return told(503, "the warehouse cannot be read just now", **{"retry-after": "5"})

    async def not_live(_: Request, error: NotLive) -> JSONResponse:
        return told(404, str(error))

    async def busy(_: Request, __: Busy) -> JSONResponse:
        return told(503, "too many pictures are looked at", **{"retry-after": "5"})

    async def unknown(_: Request, error: Exception) -> JSONResponse:
        log.exception("a fault of ours", exc_info=error)
        return told(500, "a fault of the explorer: its log has it")

    handlers = {
        Refused: refused, RequestValidationError: asked_wrong, HTTPException: by_status, DeviseError: ours,
        NotLive: not_live, Busy: busy, Exception: unknown,
    }  # fmt: skip
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
