"""What bytes are, told by how they begin, and whether they end too early; decodes nothing."""

import re
import struct
from collections.abc import Iterator

from PIL import Image

from devise.errors import ImageError

Image.init()
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
END_OF_IMAGE = b"\xff\xd9"
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
BIG_TIFF = (b"MM\0+", b"II+\0")
BITMAP_HEADS = tuple(struct.pack("<I", length) for length in (12, 40, 52, 56, 64, 108, 124))
SIGNATURES = (
    *((JPEG, "JPEG"), (PNG, "PNG"), (b"GIF87a", "GIF"), (b"GIF89a", "GIF"), (b"BM", "BMP"), (b"\0\0\1\0", "ICO")),
    *((mark, "TIFF") for mark in (b"MM\0*", b"II*\0", b"MM*\0", b"II\0*", *BIG_TIFF)),
    *((b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"), (b"\xff\x4f\xff\x51", "JPEG2000")),
    *((b"P" + kind + space, "PPM") for kind in (b"1", b"2", b"3", b"4", b"5", b"6") for space in (b" ", b"\n", b"\r")),
    *((b"P" + kind + space, "PPM") for kind in (b"1", b"2", b"3", b"4", b"5", b"6") for space in (b"\t", b"#")),
)
"""First bytes -> format, of the formats that are read. The list is closed: other plugins of Pillow's start programs
(EPS) or have next to no signature."""
READ = ("WEBP", "AVIF", "HEIF", *dict.fromkeys(kind for _, kind in SIGNATURES))
"""Names of the formats that are read, where Pillow has them."""
KNOWN_BUT_NOT_READ = {
    **{b"8BPS": "Photoshop", b"%!PS": "PostScript", b"\xc5\xd0\xd3\xc6": "PostScript", b"<svg": "SVG", b"<?xml": "XML"},
    **{b"gimp xcf": "GIMP", b"\x76\x2f\x31\x01": "OpenEXR", b"\0\0\0\x0cJXL ": "JPEG XL", b"\xff\x0a": "JPEG XL"},
    **{b"DDS ": "DDS", b"qoif": "QOI", b"#?RADIANCE": "Radiance HDR", b"#?RGBE": "Radiance HDR", b"FLIF": "FLIF"},
    **{b"BPG\xfb": "BPG", b"II\xbc\x01": "JPEG XR", b"\x8aMNG\r\n\x1a\n": "MNG", b"\x8bJNG\r\n\x1a\n": "JNG"},
    **{b"\0\0\2\0\1\0": "Windows cursor", b"icns": "Apple icon", b"\x59\xa6\x6a\x95": "Sun raster", b"\x01\xda": "SGI"},
    **{b"SIMPLE  =": "FITS", b"farbfeld": "farbfeld", b"SDPX": "DPX", b"XPDS": "DPX", b"AT&TFORM": "DjVu"},
    **{b"FUJIFILMCCD-RAW": "raw Fujifilm", b"IIRO": "raw Olympus", b"IIRS": "raw Olympus", b"IIU\0": "raw Panasonic"},
    **{b"P7\n": "PAM", b"PF\n": "PFM", b"Pf\n": "PFM", b"/* XPM": "XPM", b"\xab\x4b\x54\x58": "KTX"},
    **{b"<!DOCTYPE svg": "SVG", b"FOVb": "raw Sigma", b"BLP2": "BLP"},
    **{b"\xd7\xcd\xc6\x9a": "Windows metafile", b"\x80\x2a\x5f\xd7": "Cineon", b"\x0a\x05\x01\x08": "PCX"},
}
"""First bytes -> name, of formats that are images and are not read."""


def recognise(content: bytes) -> str:
    """The format's name, a key of Pillow's registry.

    HEIF is read where the user's own plugin has registered it with Pillow in the worker, and is unsupported elsewhere.

    Raises:
        ImageError: unsupported for a format that is known and not read, not_an_image for bytes that begin like none.
    """
    head = content[:132]
    kind = next((kind for mark, kind in SIGNATURES if head.startswith(mark)), "")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        kind = "WEBP"
    if head[4:8] == b"ftyp":
        kind = _of_brands(content)
    if kind in Image.OPEN:
        return kind
    begins = (
        head.lower(),
        head.removeprefix(b"\xef\xbb\xbf").lstrip().lower(),
    )  # a text may have a mark and blanks first
    known = next(
        (name for mark, name in KNOWN_BUT_NOT_READ.items() for b in begins if b.startswith(mark.lower())), kind
    )
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<!--") and b"<svg" in content[:4096]:
        known = "SVG"
    known = "DICOM" if head[128:] == b"DICM" else "Targa" if content.endswith(b"TRUEVISION-XFILE.\0") else known
    if known:
        raise ImageError("unsupported", f"{known}, a format that is not read here: begins with {head[:16]!r}")
    raise ImageError("not_an_image", f"begins with {head[:16]!r}")


def _of_brands(content: bytes) -> str:
    """By the brands of an ISO media file's first box (ISO/IEC 14496-12, 4.3): AVIF, HEIF, or the major brand itself."""
    length = int.from_bytes(content[:4], "big")
    brands = [content[8:12], *(content[at : at + 4] for at in range(16, min(length, 256), 4))]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    if any(brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1") for brand in brands):
        return "HEIF"
    return f"ISO media of brand {brands[0]!r}"


def is_cut(kind: str, content: bytes) -> bool:
    """Whether the file lacks bytes that its format promises. Asked only once a decoder has failed: some files that
    break such a promise are shown whole."""
    if kind == "PNG":
        return b"IEND" not in content[-1024:]
    if kind == "GIF":
        return not content.rstrip(b"\0").endswith(b";")
    if kind == "BMP":
        return int.from_bytes(content[2:6], "little") > len(content)
    if kind == "WEBP":
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    if kind == "ICO":
        return any(start + length > len(content) for start, length in _icons(content))
    if kind in ("AVIF", "HEIF"):
        return _boxes_run_past(content)
    if kind == "JPEG2000":
        codestream = content.startswith(b"\xff\x4f")
        return not content.rstrip(b"\0").endswith(END_OF_IMAGE) if codestream else _boxes_run_past(content)
    return False


def _icons(content: bytes) -> Iterator[tuple[int, int]]:
    """(start, length) in bytes of each icon in the directory; one that ends early is one that lies beyond the file."""
    for at in range(6, 6 + 16 * int.from_bytes(content[4:6], "little"), 16):
        entry = content[at : at + 16]
        yield struct.unpack("<8x2I", entry)[::-1] if len(entry) == 16 else (len(content), 1)


def icon_sizes(content: bytes) -> Iterator[tuple[int, int]]:
    """(width, height) in pixels that the PNG or bitmap of each icon itself declares; those whose header is there."""
    for start, _ in _icons(content):
        head = content[start : start + 24]
        if len(head) == 24 and head.startswith(PNG):
            yield struct.unpack(">2I", head[16:])
        elif len(head) == 24 and head[:4] in BITMAP_HEADS:
            width, height = struct.unpack("<2H" if head[0] == 12 else "<2i", head[4 : 8 if head[0] == 12 else 12])
            yield abs(width), abs(height) // 2  # picture and mask


def _boxes_run_past(content: bytes) -> bool:
    """Whether a box of the outermost level (ISO/IEC 14496-12, 4.2) is longer than what is left of the file."""
    at = 0
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(content[at + 8 : at + 16], "big")
        if length == 0:
            return content[at + 4 : at + 8] == b"jp2c" and not content.endswith(END_OF_IMAGE)
        if length < 8:
            return False
        at += length
    return at != len(content)
