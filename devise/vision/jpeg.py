"""JPEG bytes -> samples: the markers of the first picture alone say what it is and where it ends; nothing is resized.

Segments and markers: ITU-T T.81, annex B. What libjpeg-turbo warns of is judged here, so nothing is shown half.
"""

import re
from dataclasses import dataclass, field

import numpy as np
import simplejpeg

from devise.errors import ImageError
from devise.vision import oddsampling
from devise.vision.formats import XMP_ORIENTATION

START, END, START_OF_SCAN, RESTARTS = 0xD8, 0xD9, 0xDA, range(0xD0, 0xD8)
JFIF, EXIF, PROFILE, ADOBE = 0xE0, 0xE1, 0xE2, 0xEE
METADATA = {*range(0xE0, 0xF0), 0xFE}
JFIF_SEGMENT = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # the last is JPEG-LS's
LOSSLESS, PROGRESSIVE, READ = 0xC3, (0xC2, 0xCA), {0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA}
KINDS = {1: "L", 3: "RGB", 4: "CMYK"}
MOST_SEGMENTS = 100_000
"""Far above any real file; keeps a file of nothing but segments from costing minutes."""
PADDING_BYTES = 2
"""So many bytes too many before a marker are an encoder's padding to even addresses; more are padding only where they
are all the same, and otherwise what damage before them left over."""
MARKER = re.compile(rb"\xff+([^\xff\0])")
EXTRANEOUS = re.compile(r"(\d+) extraneous bytes")
ENDED_EARLY = re.compile(r"premature end|found marker 0xd9 instead of", re.IGNORECASE)


@dataclass
class Header:
    """What the markers of the first picture say.

    Attributes:
        frame: the SOF marker. kind: "L", "RGB" or "CMYK". start: where the first scan begins; end: behind the end
        marker, or the file's end. exif: the APP1 segment. icc: the profile, its parts joined. xmp_turn: 1 to 8.
        tables: the segments before the first scan that libjpeg is given. adobe: how colours were turned.
        n_scans: scans until the end.
        finest: (component, coefficient) -> the lowest bit that a scan has sent; a component is its number, and how many
        of its number stand before it in the scan.
    """

    width: int = 0
    height: int = 0
    frame: int = 0
    kind: str = ""
    start: int = 0
    end: int = 0
    ended: bool = False
    n_scans: int = 0
    n_components: int = 0
    exif: bytes = b""
    xmp_turn: int = 1
    icc_parts: dict[int, bytes] = field(default_factory=dict)
    tables: list[bytes] = field(default_factory=list)
    adobe: int | None = None
    finest: dict[tuple[tuple[int, int], int], int] = field(default_factory=dict)

    @property
    def icc(self) -> bytes:
        return b"".join(self.icc_parts[number] for number in sorted(self.icc_parts))

    @property
    def n_sent(self) -> int:
        """Coefficients, over all components, that were sent to their last bit."""
        return sum(lowest == 0 for lowest in self.finest.values())


def read_header(content: bytes, max_pixels: int, max_work: int) -> Header:
    """Walk the markers from the first start of image to its end.

    Args:
        max_pixels: more are refused once the frame header is read. max_work: most pixels times scans.

    Raises:
        ImageError: truncated, corrupt, unsupported, too_many_pixels or too_slow.
    """
    header, at = Header(end=len(content)), 2
    for _ in range(MOST_SEGMENTS):
        match = MARKER.search(content, at)
        if match is None:
            break
        marker, at = match[1][0], match.end()
        if marker == END:
            header.ended, header.end = True, at
            break
        if marker == START:
            break
        if marker in RESTARTS or marker == 0x01:
            continue
        length = int.from_bytes(content[at : at + 2], "big")
        body = content[at + 2 : at + length]
        if length < 2 or len(body) != length - 2:
            break
        if not header.n_scans:
            header.tables.append(_kept(marker, body))
        at += length
        if marker in FRAMES and not header.frame:
            _read_frame(header, marker, body, max_pixels)
        elif marker == START_OF_SCAN:
            header.start = header.start or match.end() - 2
            _read_scan(header, body)
            if header.width * header.height * header.n_scans > max_work:
                size = f"{header.width} x {header.height}"
                raise ImageError("too_slow", f"JPEG {size}: {header.n_scans} scans or more, wanted fewer of that size")
            at = _end_of_data(content, at)
        elif marker == EXIF and body.startswith(b"Exif\0\0"):
            header.exif = header.exif or body
        elif marker == EXIF and (turn := XMP_ORIENTATION.search(body)):
            header.xmp_turn = int(turn[1])
        elif marker == ADOBE and body.startswith(b"Adobe") and len(body) >= 12:
            header.adobe = body[11]
        elif marker == PROFILE and body.startswith(b"ICC_PROFILE\0"):
            header.icc_parts[body[12] if len(body) > 12 else 0] = body[14:]
    else:
        raise ImageError("too_slow", f"JPEG of more than {MOST_SEGMENTS} segments")
    _check_whole(header, content)
    return header


def _read_frame(header: Header, marker: int, body: bytes, max_pixels: int) -> None:
    if len(body) < 6:
        raise ImageError("corrupt", "JPEG: its frame header is too short")
    precision, header.n_components = body[0], body[5]
    header.height, header.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    header.frame, header.kind = marker, KINDS.get(header.n_components, "")
    size = f"JPEG {header.width} x {header.height}"
    if marker not in READ or precision != 8 or not header.kind:
        found = f"process {marker - 0xC0}, {precision} bits, {header.n_components} components"
        raise ImageError("unsupported", f"{size}: {found}; read are baseline, progressive and lossless of 8 bits")
    if header.width * header.height > max_pixels:
        pixels = f"{header.width} x {header.height} pixels"
        raise ImageError("too_many_pixels", f"{pixels}, wanted at most {max_pixels}")
    if not header.width:
        raise ImageError("corrupt", f"{size}: no pixels")
    if not header.height:
        raise ImageError("unsupported", f"{size}: its height comes after its data (DNL)")


def _read_scan(header: Header, body: bytes) -> None:
    header.n_scans += 1
    n = body[0] if body else 0
    if not header.frame or len(body) < 4 + 2 * n:
        raise ImageError("corrupt", "JPEG: a scan without a frame or of the wrong length")
    first, last, low = 0, 63, 0
    if header.frame in PROGRESSIVE:
        first, last, low = body[1 + 2 * n], min(body[2 + 2 * n], 63), body[3 + 2 * n] & 15
    numbers = body[1 : 1 + 2 * n : 2]
    for place, number in enumerate(numbers):
        component = number, numbers[:place].count(number)  # libjpeg too takes the second of one number for another
        for coefficient in range(first, last + 1):
            header.finest[component, coefficient] = low


def _end_of_data(content: bytes, at: int) -> int:
    """Where the first marker behind a scan's entropy-coded data stands."""
    while (at := content.find(b"\xff", at)) >= 0 and at + 1 < len(content):
        follows = content[at + 1]
        if follows == 0xFF:
            at += 1
        elif follows == 0 or follows in RESTARTS:
            at += 2
        else:
            return at
    return len(content)


def _check_whole(header: Header, content: bytes) -> None:
    code = "corrupt" if header.ended or content.endswith(b"\xff\xd9") else "truncated"
    if not header.frame or not header.n_scans:
        raise ImageError(code, f"JPEG: {'a scan' if header.frame else 'a frame header'} is missing")
    size = f"JPEG {header.width} x {header.height}"
    if sum(coefficient == 0 for _, coefficient in header.finest) < header.n_components:
        raise ImageError("truncated", f"{size}: a component was never sent")
    if not header.ended and header.n_sent < 64 * header.n_components:
        raise ImageError("truncated", f"{size}: no end of image after its last scan")


def decode(content: bytes, header: Header, short: int, long: int = 0) -> np.ndarray:
    """(H, W, C) uint8 of kind `header.kind`, CMYK as inks (255 is full).

    Pictures are decoded at 1/2, 1/4 or 1/8 by their DCT, unless lossless, where their short side is then at least
    `short` pixels and their long side at least `long`.

    Raises:
        ImageError: truncated where the data end before the last pixel, corrupt where they are damaged.
    """
    sides, scale = sorted((header.width, header.height)), 1
    while header.frame != LOSSLESS and scale < 8 and sides[0] >= 2 * scale * short and sides[1] >= 2 * scale * long:
        scale *= 2
    least = (-(-header.height // scale), -(-header.width // scale)) if scale > 1 else (0, 0)
    whole = _repaired(content, header)
    try:
        samples = _samples(whole, header, least)
    except ValueError as error:
        if oddsampling.NO_NAME in str(error):
            samples = oddsampling.decode(whole, f"JPEG {header.width} x {header.height}")
        else:
            samples = _judged(str(error), whole, header, least)
    return 255 - samples if header.kind == "CMYK" else samples


def _samples(content: bytes, header: Header, least: tuple[int, int], strict: bool = True) -> np.ndarray:
    colour = {"L": "GRAY"}.get(header.kind, header.kind)
    return simplejpeg.decode_jpeg(content, colour, min_height=least[0], min_width=least[1], strict=strict)


def _kept(marker: int, body: bytes) -> bytes:
    """The segment as libjpeg is given it; nothing where it says nothing of the pixels.

    libjpeg stops at what it does not like in a header's metadata, and tells of its first warning alone.
    """
    if marker == JFIF:
        return JFIF_SEGMENT if body.startswith(b"JFIF\0") and len(body) >= 14 else b""
    if marker in METADATA or marker == START_OF_SCAN:
        return b""
    return _segment(marker, body)


def _segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + (len(body) + 2).to_bytes(2, "big") + body


def _repaired(content: bytes, header: Header) -> bytes:
    """The first picture alone: no metadata, no garbage between its segments, and an end marker."""
    scans = content[header.start : header.end]
    tables = header.tables
    if header.adobe is not None and header.n_components > 1:
        known = (0, 1) if header.n_components == 3 else (0, 2)  # how colours were turned; libjpeg guesses the last, too
        turned = header.adobe if header.adobe in known else known[-1]
        tables = [_segment(ADOBE, b"Adobe" + bytes(6) + bytes([turned])), *tables]
    end = [scans] if header.ended else [scans.rstrip(b"\xff"), b"\xff\xd9"]
    return b"".join([b"\xff\xd8", *tables, *end])


def _judged(reason: str, content: bytes, header: Header, least: tuple[int, int]) -> np.ndarray:
    """The samples all the same, where the first thing that libjpeg stumbled over says nothing of the pixels."""
    message = f"JPEG {header.width} x {header.height}: {reason}"
    left_over = EXTRANEOUS.search(reason)
    if ENDED_EARLY.search(reason):
        raise ImageError("truncated", message)
    if left_over and int(left_over[1]) > PADDING_BYTES:
        _check_padding(content, header, least, message)
    elif "Corrupt JPEG data" in reason and not left_over:
        raise ImageError("corrupt", message)
    try:
        return _samples(content, header, least, strict=False)
    except ValueError as error:
        raise ImageError("corrupt", f"JPEG {header.width} x {header.height}: {error}") from None


def _check_padding(content: bytes, header: Header, least: tuple[int, int], message: str) -> None:
    """Accept a run of one byte before the end marker, if the data decode as well without it."""
    data = content[:-2]
    run = len(data) - len(data.rstrip(data[-1:]))
    kept = min(run, 8)  # the last of the data may look the same
    try:
        _samples(data[: len(data) - run + kept] + b"\xff\xd9", header, least)
    except ValueError as error:
        left_over = EXTRANEOUS.search(str(error))
        if left_over and int(left_over[1]) <= kept:
            return
        code = "truncated" if ENDED_EARLY.search(str(error)) else "corrupt"
        raise ImageError(code, message) from None
