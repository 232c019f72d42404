"""Reads a state dict out of a file of weights, as people save them; knows no architectures, and never runs a pickle."""

import pickle
import re
import struct
import warnings
from typing import Any

import torch

from devise.errors import ModelError
from devise.store.scratch import hash_file

WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
WANTED = "wanted a state dict of tensors, as torch.save(model.state_dict(), PATH) writes"
_MORE_THAN_TENSORS = re.compile(r"GLOBAL (\S+)")
# What torch's safe loader is known to raise on files that are torn, crafted or something else.
_BROKEN = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(AssertionError, pickle.UnpicklingError, struct.error),
)


def read_state(path: str, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """The state dict in a local file, or the one that a checkpoint holds under a key, without a wrapper's prefix.

    Args:
        sha256: of the file, 64 hex digits in any case, checked when given.

    Raises:
        ModelError: another sha256, a file that cannot be read, that holds more than tensors and plain values, or no
            state dict, or several.
    """
    try:
        if sha256 is not None and (found := hash_file(path)) != sha256.lower():
            raise ModelError(f"{path}: sha256 is {found}, wanted {sha256.lower()}")
        with warnings.catch_warnings(
            action="ignore", category=UserWarning
        ):  # its advice beside the error that it raises
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        raise ModelError(f"{path}: {_reason(error)}") from None
    return _unwrapped(_state_in(content, path))


def _reason(error: Exception) -> str:
    """Of torch's pages of advice, with escape codes, what is wrong with the file."""
    text = str(error)
    if "TorchScript" in text:
        return f"found a TorchScript archive, {WANTED}"
    if named := _MORE_THAN_TENSORS.search(text):
        return f"cannot be read without calling {named[1]}, which nothing here does: {WANTED}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError):
        return f"cannot be read ({' '.join(text.split('. ')[0].split())[:200]}), {WANTED}"
    return f"cannot be read, {WANTED}"


def _state_in(content: Any, path: str) -> dict[str, torch.Tensor]:
    if _is_state(content):
        return content
    if not isinstance(content, dict):
        raise ModelError(f"{path}: found {type(content).__name__}, {WANTED}")
    states = [key for key, value in content.items() if value and _is_state(value)]
    if len(states) != 1:
        raise ModelError(
            f"{path}: found state dicts under {states} of the keys {list(content)[:20]}, wanted one: save it alone"
        )
    return content[states[0]]


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items()
    )


def _unwrapped(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for prefix in WRAPPERS * 2:  # in either order
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state
