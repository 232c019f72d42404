"""Netpbm bytes (P1 to P6) -> grey or colour samples; Pillow's own reader takes 3 s a megapixel for some of them.

Format: netpbm.sourceforge.net, pages pbm(5), pgm(5), ppm(5).
"""

import re

import numpy as np

from devise.errors import ImageError

HEADER = re.compile(rb"P([1-6])" + 3 * rb"(?:(?:\s|#[^\n\r]*[\n\r])+(\d{1,10}))?")
MOST_HEADER_BYTES = 4 * 2**20
"""Longer ones are not looked at: 100 MB of blanks took 20 s."""
COMMENT, SPACE = re.compile(rb"#[^\n\r]*"), re.compile(rb"\s+")


def read_header(content: bytes) -> tuple[int, int, int, int, int]:
    """(kind 1 to 6, width, height, largest value, where the samples begin).

    Raises:
        ImageError: truncated or corrupt.
    """
    match = HEADER.match(content, 0, MOST_HEADER_BYTES)
    kind, *numbers = match.groups()
    wanted = 2 if kind in b"14" else 3  # a bitmap has no largest value: what looks like one is its first row
    end = match.end(1 + wanted)
    if None in numbers[:wanted] or end == len(content):
        raise ImageError("truncated" if match.end() >= len(content) else "corrupt", "PPM: its header cannot be read")
    width, height = int(numbers[0]), int(numbers[1])
    largest = 1 if wanted == 2 else int(numbers[2])
    if not 1 <= largest <= 65535 or min(width, height) < 1:
        raise ImageError("corrupt", f"PPM {width} x {height} with values up to {largest}")
    return int(kind), width, height, largest, end + 1


def decode(content: bytes) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8, white is 255."""
    kind, width, height, largest, start = read_header(content)
    channels = 3 if kind in (3, 6) else 1
    wanted = width * height * channels
    values = _samples(content[start:], kind, width, height, wanted, largest)[:wanted]
    if len(values) < wanted:
        raise ImageError("truncated", f"PPM {width} x {height}: {len(values)} of {wanted} samples")
    if values.min() < 0 or values.max() > largest:
        raise ImageError("corrupt", f"PPM {width} x {height}: a sample outside 0 to {largest}")
    if largest != 255:
        values = (values.astype(np.uint32) * 510 + largest) // (2 * largest)
    values = values.astype(np.uint8).reshape((height, width, 3) if channels == 3 else (height, width))
    return 255 - values if kind in (1, 4) else values


def _samples(body: bytes, kind: int, width: int, height: int, wanted: int, largest: int) -> np.ndarray:
    """As many of the wanted samples as there are."""
    if kind == 1:
        return np.frombuffer(SPACE.sub(b"", COMMENT.sub(b"", body)), np.uint8).astype(np.int16) - ord("0")
    if kind < 4:
        return np.fromstring(COMMENT.sub(b"", body).decode("latin-1"), np.int64, sep=" ")
    if kind == 4:
        row_bytes = -(-width // 8)
        n_rows = min(height, len(body) // row_bytes)
        rows = np.frombuffer(body, np.uint8, count=n_rows * row_bytes).reshape(n_rows, row_bytes)
        return np.unpackbits(rows, axis=1)[:, :width].reshape(-1)
    sample = np.dtype(np.uint8 if largest < 256 else ">u2")
    return np.frombuffer(body, sample, count=min(wanted, len(body) // sample.itemsize))
