"""The explorer's routes: requests to questions, answers to JSON, faults to one line; what answers is corpus.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from importlib.resources import files
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from xxhash import xxh64_hexdigest

import devise
from devise.errors import ImageError
from devise.show.explorer import downloads, faults, ranked, shapes, uploads
from devise.show.explorer.follow import Following
from devise.show.explorer.guard import MOST_FIELDS, NIGHT, Guard, cookie_name
from devise.show.explorer.pictures import Pictures
from devise.show.explorer.ranked import PAGE, Asked, Rankings
from devise.show.explorer.uploads import MOST_BYTES, Uploads
from devise.store import links

KEPT_S = 300
"""Seconds that a browser need not ask again for a thumbnail: the image behind an id may change every night."""
PASSING = ("throttled", "timeout", "unreadable")
"""Reject codes that another try may not have."""
GIVEN = {"image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff", "image/jp2"}
PAGES = {"/": "index.html", "/docs": "docs.html", "/favicon.ico": "icon.svg"}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"picture": {"type": "string", "format": "binary"}}}
            },
            **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted(GIVEN)},
        },
    }
}


def create_app(
    following: Following, *, token: str | None = None, local: bool = True, links_s: int | None = None
) -> Guard:
    """The explorer as an ASGI application, with its guard before it; it closes `following` when it ends.

    Args:
        token: what all but the page itself wants; None for nothing.
        local: whether only loopback is listened on.
        links_s: seconds that links to originals on S3 last; None gives none.
    """
    pictures, given = Pictures(), Uploads()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        following.close()
        given.close()

    app = FastAPI(
        title="DeViSE explorer",
        version=devise.__version__,
        description="Words, pictures and their sums to images; images to labels and images. `2 * ship + sail - engine`",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    guard = Guard(app, token=token, local=local, most_bytes=MOST_BYTES)
    faults.tell(app)

    def asked(
        q: Annotated[str, Query(description="`ship + sail`, `2 * a - b`, `image:ID/4711 + snow`")],
        under: Annotated[str | None, Query(description="only images whose uri begins so")] = None,
        label: Annotated[str | None, Query(description="only images that have it among their labels")] = None,
        since: Annotated[date | None, Query(description="only images that came on that day, in UTC, or later")] = None,
        least: Annotated[float | None, Query(ge=-1, le=1, allow_inf_nan=False, description="least score")] = None,
        fold: Annotated[bool, Query(description="show the best of near-duplicates alone")] = False,
    ) -> Asked:
        return Asked.of(q, under, label, since, least, fold)

    Question = Annotated[Asked, Depends(asked)]
    Offset = Annotated[int, Query(ge=0, le=ranked.MOST)]
    Limit = Annotated[int, Query(ge=1, le=PAGE)]

    @app.head("/api/health", include_in_schema=False)
    @app.get("/api/health")
    async def health() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/api/live", response_model=shapes.Live)
    def live() -> dict[str, Any]:
        corpus = following.now.corpus
        made = corpus.has("thumbnails")
        return {**corpus.told(), "thumbnails": made, "links": links_s is not None, "uploads": True}

    @app.get("/api/words", response_model=shapes.Words)
    def words(
        text: Annotated[str, Query(max_length=100)], k: Annotated[int, Query(ge=1, le=50)] = 12
    ) -> dict[str, Any]:
        """Labels that a text may become."""
        return {"words": [word._asdict() for word in following.now.corpus.names.suggestions.find(text, k)]}

    @app.get("/api/search", response_model=shapes.Answers)
    def search(question: Question, offset: Offset = 0, limit: Limit = PAGE) -> dict[str, Any]:
        """Words, stored pictures and their sums to images."""
        return following.now.page(question, offset, limit)

    @app.get("/api/why", response_model=shapes.Why)
    def why(q: str, image_id: Annotated[str, Query(pattern=r"^\d{1,19}$")]) -> dict[str, Any]:
        """What each term of a query adds to an image's score."""
        corpus = following.now.corpus
        terms = ranked.why(corpus, q, int(image_id))
        labels = ranked.told_labels(corpus.labels_of([int(image_id)]).get(int(image_id)))
        return {"image_id": image_id, "score": sum(term["share"] for term in terms), "terms": terms, **labels}

    @app.get("/api/images/{image_id}", response_model=shapes.Image)
    def image(image_id: int) -> dict[str, Any]:
        """A stored image: its labels, and its near-duplicates."""
        corpus = following.now.corpus
        uri = corpus.uri_of(image_id)
        listed = corpus.listed(image_id)
        modified_at = listed["modified_at"]
        return {
            **ranked.told_image(image_id, uri),
            **ranked.told_labels(corpus.labels_of([image_id]).get(image_id)),
            "size_bytes": listed["size_bytes"],
            "modified_at": modified_at and modified_at.isoformat(),
            "duplicates": [ranked.told_image(*found) for found in corpus.duplicates_of(image_id)],
        }

    @app.get("/api/images/{image_id}/similar", response_model=shapes.Answers)
    def similar_to_stored(image_id: int, offset: Offset = 0, limit: Limit = PAGE) -> dict[str, Any]:
        """A stored image to images, itself first."""
        rankings = following.now
        rankings.corpus.uri_of(image_id)
        return rankings.page(Asked(f"image:ID/{image_id}"), offset, limit)

    @app.get("/api/images/{image_id}/thumbnail", response_class=Response)
    def thumbnail(image_id: int, request: Request) -> Response:
        """WebP, its longer side 256 pixels at most."""
        corpus = following.now.corpus
        tag = f'"{xxh64_hexdigest(f"{image_id} {corpus.etag_of(image_id)}".encode())}"'
        headers = {"cache-control": f"private, max-age={KEPT_S}", "etag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        try:
            return Response(pictures.thumbnail(corpus, image_id), media_type="image/webp", headers=headers)
        except ImageError as error:
            if error.code in PASSING:
                raise HTTPException(
                    503, f"the picture cannot be read just now: {error.code}", {"retry-after": "2"}
                ) from None
            raise HTTPException(410, f"the picture cannot be shown: {error.code}") from None

    @app.get("/api/images/{image_id}/link", response_model=shapes.Link)
    def link(image_id: int) -> dict[str, Any]:
        """A link to the original, for a while, where the explorer was told to give them."""
        uri = following.now.corpus.uri_of(image_id)
        if links_s is None or not uri.startswith("s3://"):
            raise HTTPException(404, "no links to originals are given here")
        return {"url": links.presign(uri, links_s), "expires_s": links_s}

    async def seen(request: Request) -> tuple[Rankings, uploads.Seen]:
        rankings, content = following.now, await _content(request)
        return rankings, await run_in_threadpool(given.see, rankings.corpus, content)

    Given = Annotated[tuple[Rankings, uploads.Seen], Depends(seen)]

    @app.post("/api/pictures", response_model=shapes.Seen, openapi_extra=BODY)
    def picture(found: Given) -> dict[str, Any]:
        """A picture to its labels, and to a term for queries."""
        rankings, what = found
        told = ranked.told_labels(what.labelled)
        sides = {"width": what.width, "height": what.height}
        return {"term": f"image:{rankings.corpus.write_vector(what.embedding_D)}", **told, **sides}

    @app.post("/api/labels", response_model=shapes.Labels, openapi_extra=BODY)
    def labels(found: Given) -> dict[str, Any]:
        """A picture to labels."""
        return ranked.told_labels(found[1].labelled)

    @app.post("/api/similar", response_model=shapes.Answers, openapi_extra=BODY)
    def similar(
        found: Given,
        under: str | None = None,
        label: str | None = None,
        since: date | None = None,
        least: Annotated[float | None, Query(ge=-1, le=1, allow_inf_nan=False)] = None,
        fold: bool = False,
        offset: Offset = 0,
        limit: Limit = PAGE,
    ) -> dict[str, Any]:
        """A picture to images."""
        rankings, what = found
        term = f"image:{rankings.corpus.write_vector(what.embedding_D)}"
        return rankings.page(Asked.of(term, under, label, since, least, fold), offset, limit)

    @app.get("/api/answers.{kind}", response_class=Response)
    def download(kind: str, question: Question) -> Response:
        """All answers to a query as CSV or Parquet."""
        if kind not in downloads.TYPES:
            raise HTTPException(404, "wanted answers.csv or answers.parquet")
        rankings = following.now
        rows = downloads.table(rankings.corpus, rankings.rank(question))
        headers = {"content-disposition": f'attachment; filename="answers.{kind}"'}
        return Response(downloads.write(rows, kind), media_type=downloads.TYPES[kind], headers=headers)

    @app.head(NIGHT, include_in_schema=False)
    @app.get(NIGHT, response_class=Response)
    def night() -> Response:
        """The night's page, where the live night made one."""
        if (page := following.now.corpus.night) is None:
            raise HTTPException(404, "the live night has no page: report_run was no stage of it")
        return Response(page, media_type="text/html; charset=utf-8", headers={"cache-control": "no-cache"})

    @app.post("/api/session")
    async def session(request: Request) -> Response:
        """The token, once, for a cookie."""
        told = await _json(request)
        if token is None:
            return JSONResponse({"ok": True})
        if not guard.knows(str(told.get("token", ""))):
            raise HTTPException(401, "this is not the explorer's token")
        response = JSONResponse({"ok": True})
        secure = request.url.scheme == "https"
        response.set_cookie(
            cookie_name(request.scope), guard.session(), httponly=True, samesite="strict", secure=secure, path="/"
        )
        return response

    _serve_page(app)
    return guard


def _serve_page(app: FastAPI) -> None:
    """The page's files, each by its name in the folder: a path from outside is only ever compared."""
    folder = files("devise.show.explorer").joinpath("page")
    known = {f"/page/{path.relative_to(folder)}": path for path in sorted(folder.rglob("*")) if path.is_file()}
    known |= {place: folder / name for place, name in PAGES.items()}
    for place, path in known.items():
        app.add_api_route(place, _giving(path), methods=["GET", "HEAD"], include_in_schema=False)


def _giving(path: Any) -> Any:
    async def give() -> FileResponse:
        return FileResponse(path, headers={"cache-control": "no-cache"})

    return give


async def _content(request: Request) -> bytes:
    """The picture of a body: the field `picture` of a form, or the body itself."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=4, max_part_size=MOST_FIELDS) as form:
            field = form.get("picture")
            if field is None or isinstance(field, str):
                raise HTTPException(422, "found no file in the field `picture`")
            return await field.read()
    if kind in GIVEN:
        return await request.body()
    raise HTTPException(415, f"found a body of type {kind[:60] or 'unknown'}, wanted a picture or a form with one")


async def _json(request: Request) -> dict[str, Any]:
    try:
        told = await request.json()
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise HTTPException(422, 'wanted {"token": "..."}')
    return told
