"""Files of a test at file:// or s3://, by `devise.store.storage` alone."""

from pathlib import Path

from devise.store import storage


def copy(source: str, target: str) -> str:
    """Everything below a folder; the target."""
    for file in storage.list_files(source):
        storage.write_bytes(target + file.uri.removeprefix(source), storage.read_bytes(file.uri))
    return target


def upload(folder: Path, target: str) -> str:
    return copy(f"file://{folder}", target)


def contents(root: str) -> dict[str, bytes]:
    """URI -> bytes of every file below `root`."""
    return {file.uri: storage.read_bytes(file.uri) for file in storage.list_files(root)}
