"""Ways to break an image file, and ways to add what says nothing of its pixels; knows no decoder."""

import random

from makers import after_start, chunk, segment

SPLICES = (
    b"\xff\xd9",
    b"\xff\xda",
    b"\xff\xd8\xff\xe1",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"IDAT",
    b"\0",
)


def broken(content: bytes, others: list[bytes], r: random.Random) -> bytes:
    """The content with one to six places changed, cut, doubled, emptied or taken from another file."""
    changed = bytearray(content)
    for _ in range(r.randint(1, 6)):
        at, n = r.randrange(len(changed) + 1), r.choice((1, 2, 4, 16, 300, 4096))
        near = r.randrange(min(len(changed), 200) + 1)  # headers are small, and most is decided there
        at = near if r.random() < 0.5 else at
        other = r.choice(others)
        start = r.randrange(len(other))
        changed[at : at + r.choice((0, n))] = r.choice(
            (bytes(n), r.randbytes(n), r.choice(SPLICES), changed[at : at + n] * 2, other[start : start + n], b"")
        )
        if changed and r.random() < 0.5:
            changed[r.randrange(len(changed))] ^= 1 << r.randrange(8)
    return bytes(changed)


def with_more(name: str, content: bytes, r: random.Random) -> bytes | None:
    """The content with something added that says nothing of the pixels; None where its format has no such place."""
    noise = r.randbytes(r.choice((0, 3, 50, 3000)))
    if name.startswith("png"):
        kinds = (
            b"gAMA",
            b"pHYs",
            b"zTXt",
            b"iTXt",
            b"tEXt",
            b"iCCP",
            b"eXIf",
            b"sRGB",
            b"acTL",
            b"fcTL",
            b"cHRM",
            b"prVt",
        )
        return content[:33] + chunk(r.choice(kinds), noise, r.choice((None, 7))) + content[33:]
    if name.startswith(("jpeg_", "mpo")) or name == "jpeg":
        heads = (
            b"",
            b"Exif\0\0",
            b"Exif\0\0II*\0\x08\0\0\0",
            b"ICC_PROFILE\0\1\1",
            b"http://ns.adobe.com/xap/1.0/\0",
            b"MPF\0",
        )
        added = after_start(content, segment(r.choice((0xE1, 0xE2, 0xE5, 0xED, 0xFE)), r.choice(heads) + noise))
        return added if name == "jpeg_no_end_marker" else added + r.randbytes(r.choice((0, 900)))
    return None
