"""A core visual model as a frozen graph for one batch shape, device and precision; knows no images, queues or threads.

Shape letters: B images of a batch (always the same number), F features, H and W pixels.
"""

import copy
import ctypes
import functools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import nn

from devise.errors import ConfigError, DeviceError
from devise.vision.efficientnet_lite import EfficientNetLite
from devise.vision.model import DeviseModel

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
AMD = "AuthenticAMD"
# glibc's malloc.h: allocations below the first come from the heap, and the heap is not trimmed below the second.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8

_graphs: "WeakKeyDictionary[DeviseModel, dict[tuple, Callable]]" = WeakKeyDictionary()


def choose_device(device: Literal["auto", "cuda", "cpu"], gpu: str | None = None) -> torch.device:
    """The device asked for; `auto` is the accelerator where there is one.

    Args:
        gpu: the address that the cluster gave this process. Where it sees fewer devices than that, they were numbered
            anew for it, and it takes the first.

    Raises:
        DeviceError: an accelerator was asked for and there is none; never a silent run on the CPU.
    """
    present = torch.cuda.is_available()
    if device == "cuda" and not present:
        raise DeviceError("device cuda: torch finds no CUDA device on this machine; wanted one (or device: cpu)")
    if not present or device == "cpu":
        return torch.device("cpu")
    number = int(gpu) if gpu is not None and gpu.isdecimal() else 0
    return torch.device("cuda", number if number < torch.cuda.device_count() else 0)


def visible_cards() -> tuple[int, str]:
    """How many CUDA devices torch sees in this process, and the name of the first; (0, "") without any."""
    n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return n, torch.cuda.get_device_name(0) if n else ""


def choose_precision(precision: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """The precision asked for; `auto` is bf16 where the device is quicker in it, else fp32 (CPU) or fp16 (GPU).

    Quicker are a CPU with tiles (AMX) and AMD's with AVX512-BF16 (1.9 times fp32, EPYC). Intel's with that and no
    tiles, as virtual machines show it, was slower: 20 to 29 % (three networks, tests/benchmarks/results/networks.md).
    """
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError("precision fp16: for a GPU only; on a CPU wanted fp32, bf16 or auto")
    if precision != "auto":
        return precision
    if device.type == "cpu":
        flags = _cpu_flags()
        return "bf16" if "amx_bf16" in flags or {"avx512_bf16", AMD} <= flags else "fp32"
    return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"


def keep_freed_memory() -> None:
    """Make this process keep the memory that it frees, for its whole life; does nothing on a libc without mallopt.

    By default glibc gives the activations of every batch back to the kernel and faults them in again, zeroed, for the
    next one; that was measured to cost half of the time of a batch.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_ARENA_MAX, 1)


def freeze(
    model: DeviseModel, device: torch.device, precision: Precision, batch_size: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """uint8 pixels (B, 3, H, W) -> features float32 (B, F) by the model's core, warmed up, for many threads.

    Kept in this process for as long as the model lives and its weights stay as they are. Batch norms are folded in
    float32 before anything is rounded. On a CPU the graph is traced, frozen and fused by oneDNN for this one batch
    shape: always call it with `batch_size` images.
    """
    core_state = model.core.features.state_dict().values()
    key = (str(device), precision, batch_size, sum(value._version for value in core_state))
    graphs = _graphs.setdefault(model, {})
    if key not in graphs:
        graphs.clear()  # of other weights, or another device: one engine at a time is the rule
        graphs[key] = _frozen(model, device, DTYPES[precision], batch_size)
    return graphs[key]


class _Features(nn.Module):
    """Normalisation, the folded core and its output in float32, in one module that can be traced."""

    def __init__(self, model: DeviseModel, dtype: torch.dtype):
        super().__init__()
        from torch.fx.experimental.optimization import fuse  # slow to import, and only needed here

        network = copy.deepcopy(model.core.features).cpu().float().eval()
        if isinstance(network, EfficientNetLite):
            network.settle(model.preprocessing.crop)
        folded = fuse(network)
        self.features = folded.to(dtype).to(memory_format=torch.channels_last)
        self.register_buffer("scale", model.scale.cpu().clone())
        self.register_buffer("shift", model.shift.cpu().clone())
        self.dtype = dtype

    def forward(self, pixels_B3HW: torch.Tensor) -> torch.Tensor:
        normalised = (pixels_B3HW * self.scale - self.shift).to(self.dtype)
        return self.features(normalised).float()


def _frozen(
    model: DeviseModel, device: torch.device, dtype: torch.dtype, batch_size: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    crop = model.preprocessing.crop
    example = torch.zeros(batch_size, 3, crop, crop, dtype=torch.uint8, device=device)
    example = example.contiguous(memory_format=torch.channels_last)
    module: Callable[[torch.Tensor], torch.Tensor] = _Features(model, dtype).to(device).eval().requires_grad_(False)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls tracing deprecated; it needs no compiler, torch.compile does
        if device.type == "cpu":
            before, threads_before = torch.jit.onednn_fusion_enabled(), torch.get_num_threads()
            torch.jit.enable_onednn_fusion(True)
            torch.set_num_threads(1)  # oneDNN plans for the threads that it sees; ours compute a batch each
            try:
                module = torch.jit.freeze(torch.jit.trace(module, example, check_trace=False))
                _warm_up(module, example)  # the fusion itself happens in the first calls
            finally:
                torch.jit.enable_onednn_fusion(before)
                torch.set_num_threads(threads_before)
        else:
            _warm_up(module, example)
    return module


def _warm_up(module: Callable[[torch.Tensor], torch.Tensor], example: torch.Tensor) -> None:
    with torch.inference_mode():
        for _ in range(3):
            module(example)


@functools.cache
def _cpu_flags() -> frozenset[str]:
    """Instruction sets of this machine's processor, and its maker; none known where there is no /proc/cpuinfo."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return frozenset()
    lines = path.read_text().splitlines()
    told = (next((line for line in lines if line.startswith(key)), "") for key in ("vendor_id", "flags"))
    return frozenset(word for line in told for word in line.partition(":")[2].split())
