"""What processes that train together tell each other; alone, each call gives back what it was given."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

from devise.vision import graph


@contextmanager
def together(threads: int | None) -> Iterator[torch.device]:
    """Join the processes that the environment tells of, as torch's launcher set it; the device of this one.

    Args:
        threads: of torch in this process; None leaves them.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    device = graph.choose_device("auto")
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def number() -> int:
    """This process among those that train together, 0 to count() - 1."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def add_up(values: torch.Tensor) -> torch.Tensor:
    """Sum over all processes, in place, the same bits in each of them."""
    if distributed.is_initialized():
        distributed.all_reduce(values)
    return values


def largest(values: torch.Tensor) -> torch.Tensor:
    """Greatest over all processes, in place, number by number."""
    if distributed.is_initialized():
        distributed.all_reduce(values, op=distributed.ReduceOp.MAX)
    return values


def say_first(value: int, device: torch.device) -> int:
    """What process 0 says, known to all."""
    said = torch.tensor([value if number() == 0 else 0], dtype=torch.int64, device=device)
    return int(add_up(said).item())


def gather_texts(text: str, device: torch.device) -> list[str]:
    """The texts of all processes, in their order."""
    if not distributed.is_initialized():
        return [text]
    own = text.encode()
    lengths = add_up(torch.tensor([len(own) if n == number() else 0 for n in range(count())], device=device)).tolist()
    letters = torch.zeros(count(), max(lengths), dtype=torch.int32, device=device)
    letters[number(), : len(own)] = torch.tensor(list(own), dtype=torch.int32, device=device)
    rows = add_up(letters).tolist()
    return [bytes(row[:length]).decode() for row, length in zip(rows, lengths, strict=True)]
