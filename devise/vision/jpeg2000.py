"""Whether a JPEG 2000 file has all its tiles: OpenJPEG leaves those that are missing black and says nothing.

Markers: ITU-T T.800, annex A.
"""

import struct

CODESTREAM, END = b"\xff\x4f\xff\x51", b"\xff\xd9"
START_OF_TILE_PART = 0xFF90
LEAST_TILE_PART = 14


def n_missing_tiles(content: bytes) -> int:
    """Tiles of the grid to which no tile-part belongs; 0 where the parts cannot be told: that is a decoder's to say."""
    start = content.find(CODESTREAM)
    if start < 0 or start + 40 > len(content):
        return 0
    width, height, _, _, tile_width, tile_height, left, top = struct.unpack_from(">8I", content, start + 8)
    if not tile_width or not tile_height:
        return 0
    n_tiles = -(-(width - left) // tile_width) * -(-(height - top) // tile_height)
    at, found = start + 2, set()
    while at + 12 <= len(content):
        marker, length = struct.unpack_from(">2H", content, at)
        if marker != START_OF_TILE_PART:
            if found or length < 2:
                break
            at += 2 + length  # of the main header
            continue
        tile, n_bytes = struct.unpack_from(">HI", content, at + 4)
        found.add(tile)
        if n_bytes == 0:  # to the end
            return n_tiles - len(found)
        if n_bytes < LEAST_TILE_PART:
            return 0
        at += n_bytes
    return n_tiles - len(found) if content[at : at + 2] == END else 0
