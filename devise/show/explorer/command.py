"""`devise serve`, from its options to a listening server; computes nothing itself."""

import argparse
import logging
import os
import socket
from pathlib import Path

from devise.errors import ConfigError
from devise.show.explorer.guard import LEAST_TOKEN, LOOPBACK

VARIABLE = "DEVISE_TOKEN"
PROXIES = "FORWARDED_ALLOW_IPS"
"""uvicorn's variable: the addresses of proxies whose word on who asks counts. Without it nobody's does."""
MOST_LINKS_S = 3_600
IDLE_S, ENDING_S = 10, 10
HEAD_BYTES = 64 * 2**10


def serve(options: argparse.Namespace) -> None:
    """Serve until a signal comes.

    Raises:
        ConfigError: an address for others and no token, a port that is taken, links that last too long, or the
            explorer's libraries are not installed.
        ManifestError: nothing was ever published.
    """
    token = find_token(options.token_file)
    local = options.host in LOOPBACK
    if not local and token is None:
        raise ConfigError(
            f"--host {options.host}: wanted a token for others than this machine: --token-file, {VARIABLE}"
        )
    if options.links is not None and options.links > MOST_LINKS_S:
        raise ConfigError(f"--links {options.links}: wanted at most {MOST_LINKS_S} seconds")
    try:
        import uvicorn

        from devise.show.explorer.app import create_app
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"found no {error.name}, wanted the explorer's libraries: pip install 'devise[explorer]'"
        ) from None
    from devise.show.explorer.follow import Following
    from devise.store import patience

    listening = _listen(options.host, options.port)
    with listening, patience.of(patience.OF_A_PERSON):
        logging.basicConfig(level=logging.INFO, format="[serve] %(message)s")
        logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells each kernel that this processor lacks
        following = Following(options.warehouse, options.vectors)
        live = following.now.corpus.live
        app = create_app(following, token=token, local=local, links_s=options.links)
        shown = f"[{options.host}]" if ":" in options.host else options.host
        print(f"publication {live.describe()} of {options.warehouse}: http://{shown}:{options.port}", flush=True)
        settings = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, proxy_headers=PROXIES in os.environ,
            http="h11", ws="none", h11_max_incomplete_event_size=HEAD_BYTES, timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=ENDING_S,
        )  # fmt: skip
        uvicorn.Server(settings).run(sockets=[listening])


def find_token(path: str | None) -> str | None:
    """The token of a file, else of the environment; None without either.

    Raises:
        ConfigError: the file cannot be read, or the token is short or has other letters than ASCII's.
    """
    where, text = VARIABLE, os.environ.get(VARIABLE)
    if path is not None:
        try:
            where, text = path, Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"--token-file {path}: cannot be read: {error}") from None
    if text is None:
        return None
    if len(token := text.strip()) < LEAST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(f"{where}: found a token of {len(token)} letters, wanted {LEAST_TOKEN} or more, of ASCII")
    return token


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"--host {host} --port {port}: cannot be listened on: {error}") from None
