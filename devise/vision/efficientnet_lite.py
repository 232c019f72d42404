"""EfficientNet-Lite, the classifiers of the starter kit: shapes and forward only; knows no weights, files or pictures.

EfficientNet (Tan and Le 2019) without squeeze-and-excitation, with ReLU6, and with stem and head of one width in all
sizes (Liu, "EfficientNet-Lite", TensorFlow blog, March 2020). Modules are named as in the published PyTorch state
dicts, so that those load as they are. Shape letters: N images, H and W pixels, C classes.
"""

import math

import torch
from torch import nn
from torch.nn import functional

SIZES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite2": (1.1, 1.2)}
"""Architecture -> what the numbers of channels and of blocks a stage are multiplied by."""
STAGES = (
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)
"""Blocks, kernel, stride of the first block, expansion, channels: of size 0."""
STEM, HEAD = 32, 1280
EPSILON = 1e-3
"""Of the batch norms; TensorFlow's own."""
DROPOUT = 0.2


class EfficientNetLite(nn.Module):
    """Normalised images float32 (N, 3, H, W) -> class scores (N, C); any H and W of at least 32.

    Args:
        size: one of `SIZES`.
    """

    def __init__(self, size: str, n_classes: int):
        super().__init__()
        width, depth = SIZES[size]
        self._conv_stem, self._bn0 = nn.Conv2d(3, STEM, 3, stride=2, bias=False), _norm(STEM)
        blocks, channels = [], STEM
        for place, (repeats, kernel, stride, expansion, wanted) in enumerate(STAGES):
            wanted = _rounded(wanted * width)
            if 0 < place < len(STAGES) - 1:  # first and last stage are never deepened
                repeats = math.ceil(repeats * depth)
            for number in range(repeats):
                blocks.append(_Block(channels, wanted, kernel, stride if number == 0 else 1, expansion))
                channels = wanted
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = nn.Conv2d(channels, HEAD, 1, bias=False), _norm(HEAD)
        self._relu, self._pool, self._dropout = nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Dropout(DROPOUT)
        self._fc = nn.Linear(HEAD, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._relu(self._bn0(self._conv_stem(padded_same(x, 3))))
        x = self._relu(self._bn1(self._conv_head(self._blocks(x))))
        return self._fc(self._dropout(self._pool(x).flatten(1)))

    def settle(self, side: int) -> None:
        """Give the same scores for squares of `side` pixels alone, in two thirds of the time on a CPU; in place.

        Copying activations into a frame of zeros before each stride of 2 costs a third of the whole pass. A convolution
        pads by itself, but as much on either side; where one more is wanted below and right, the kernel has a row and
        a column of zeros more above and left.
        """
        side = -(-side // 2)  # the stem stays as it is: a picture's three channels are copied for next to nothing
        for block in self._blocks:
            if block.halves:
                block._depthwise_conv, block.halves = _padding_itself(block._depthwise_conv, side), False
                side = -(-side // 2)


class _Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): expand, depthwise, project; added to its input where shapes agree."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = before * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = nn.Conv2d(before, inner, 1, bias=False), _norm(inner)
        padding = kernel // 2 if stride == 1 else 0
        self._depthwise_conv = nn.Conv2d(inner, inner, kernel, stride, padding, groups=inner, bias=False)
        self._bn1 = _norm(inner)
        self._project_conv, self._bn2 = nn.Conv2d(inner, after, 1, bias=False), _norm(after)
        self._relu = nn.ReLU6()
        self.expands, self.kernel, self.halves = expansion > 1, kernel, stride == 2
        self.adds = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self._relu(self._bn0(self._expand_conv(x))) if self.expands else x
        if self.halves:
            inner = padded_same(inner, self.kernel)
        inner = self._relu(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        return inner + x if self.adds else inner


@torch.fx.wrap  # one step of the graph that batch norms are folded in: it asks for sizes, which are not known there
def padded_same(x: torch.Tensor, kernel: int) -> torch.Tensor:
    """`x` with the zeros that TensorFlow's SAME adds before a stride of 2: one more below and right of even sides."""
    sides = []
    for size in (x.shape[3], x.shape[2]):
        missing = kernel - 2 + size % 2
        sides += [missing // 2, missing - missing // 2]
    return functional.pad(x, sides)


def _padding_itself(convolution: nn.Conv2d, side: int) -> nn.Conv2d:
    """The same as `convolution` after `padded_same` of an input of `side` x `side`."""
    channels, kernel = convolution.out_channels, convolution.kernel_size[0]
    more = 1 - side % 2
    made = nn.Conv2d(channels, channels, kernel + more, 2, kernel // 2, groups=channels, bias=False)
    with torch.no_grad():
        made.weight.copy_(functional.pad(convolution.weight, (more, 0, more, 0)))
    return made.train(convolution.training)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=0.01)


def _rounded(channels: float) -> int:
    """The multiple of 8 nearest to `channels`, never below 90 % of it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
