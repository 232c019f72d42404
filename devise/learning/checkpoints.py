"""Checkpoints of a training in a folder of the store: tensors as safetensors, all else as JSON; knows no training loop.

A checkpoint exists once its JSON does, which is created only if nothing is there, after its tensors were written under
a name of their own. Of two writers of one epoch the first one counts.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file, save

from devise.errors import AlreadyExists, StorageError
from devise.store import scratch, storage

RECORD = re.compile(r"epoch-(\d{5})\.json")


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch: named tensors, and what JSON can hold."""

    tensors: dict[str, torch.Tensor]
    record: dict[str, Any]


def write(folder: str, epoch: int, tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> None:
    """Keep the state after `epoch`; what another process has kept of it stands."""
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    name = f"epoch-{epoch:05d}-{uuid.uuid4().hex}.safetensors"
    storage.write_bytes(storage.join(folder, name), content)
    told = {**record, "file": name, "sha256": hashlib.sha256(content).hexdigest()}
    try:
        storage.create(storage.join(folder, f"epoch-{epoch:05d}.json"), json.dumps(told).encode())
    except AlreadyExists:
        storage.delete(storage.join(folder, name))


def epochs(folder: str) -> list[int]:
    """The epochs after which there is a checkpoint, ascending."""
    files = storage.list_level(folder, missing_ok=True)[1]
    found = (RECORD.fullmatch(file.uri.rsplit("/", 1)[-1]) for file in files)
    return sorted(int(match.group(1)) for match in found if match)


def read(folder: str, epoch: int) -> Checkpoint:
    """The state after `epoch`.

    Raises:
        StorageError: it is not there, or its tensors are not those that were written.
    """
    uri = storage.join(folder, f"epoch-{epoch:05d}.json")
    try:
        record = json.loads(storage.read_bytes(uri))
        path = scratch.localise(storage.join(folder, record["file"]), record["sha256"])
    except (ValueError, KeyError):
        raise StorageError(f"{uri}: no record of a checkpoint") from None
    return Checkpoint(load_file(path), record)


def forget(folder: str, kept: Collection[int]) -> None:
    """Remove the checkpoints of all epochs but these."""
    files = [file.uri for file in storage.list_level(folder, missing_ok=True)[1]]
    gone = [uri for uri in files if (match := re.search(r"/epoch-(\d{5})", uri)) and int(match.group(1)) not in kept]
    storage.delete(*sorted(gone, key=lambda uri: not uri.endswith(".json")))  # records first: none without tensors
