"""Small image files in code: one picture in every format, sample kind and make that is read, and parts to break it.

Each file of `sound()` must come out as `PICTURE`, or as its grey for the names in `GREY`. Nothing here decodes.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

W, H = 80, 60
ROW, COLUMN = np.mgrid[0:H, 0:W]
RGB = np.stack([COLUMN * 255 / (W - 1), ROW * 255 / (H - 1), 255 - COLUMN * 255 / (W - 1)], 2).astype(np.uint8)
PICTURE = Image.fromarray(RGB)
LUMA = np.array(PICTURE.convert("L"))
LUMA16, RGB16 = LUMA.astype(np.uint16) * 257, RGB.astype(np.uint16) * 257


def encode(kind: str, image: Image.Image = PICTURE, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    """A PNG chunk, with a checksum that may be wrong."""
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


def png(*chunks: bytes, image: Image.Image = PICTURE) -> bytes:
    """The picture as PNG with chunks after IHDR."""
    whole = encode("PNG", image)
    return whole[:33] + b"".join(chunks) + whole[33:]


def png_of(rows: bytes, depth: int, colour_type: int, *chunks: bytes, size: tuple[int, int] = (W, H)) -> bytes:
    """A PNG of raw rows, each with its filter byte before it."""
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(tags: dict[int, tuple[int, list]], *strips: bytes, size: tuple[int, int] = (W, H)) -> bytes:
    """Little-endian TIFF, uncompressed unless tag 259 says so; tags: number -> (type, values); a strip each plane."""
    width, height = size
    starts = np.cumsum([8, *map(len, strips)]).tolist()
    every = {256: (4, [width]), 257: (4, [height]), 259: (3, [1]), 278: (4, [height]), 273: (4, starts[:-1])}
    every |= {279: (4, [len(strip) for strip in strips])} | tags
    body = b"".join(strips) + b"\0" * (starts[-1] & 1)
    start, extra, entries = 8 + len(body), b"", b""
    free = start + 2 + 12 * len(every) + 4
    for number, (kind, values) in sorted(every.items()):
        packed = struct.pack(f"<{len(values)}{ {1: 'B', 3: 'H', 4: 'I', 7: 'B'}[kind] }", *values)
        value = packed.ljust(4, b"\0")
        if len(packed) > 4:
            value, extra = struct.pack("<I", free + len(extra)), extra + packed + b"\0" * (len(packed) & 1)
        entries += struct.pack("<HHI", number, kind, len(values)) + value
    return b"II*\0" + struct.pack("<I", start) + body + struct.pack("<H", len(every)) + entries + bytes(4) + extra


def samples(bits: int, photometric: int, channels: int = 1, sample_format: int = 1, **more: int) -> dict:
    """Tags of a TIFF's samples; extra=338's values, planar=1 or 2, compression."""
    tags = {258: (3, [bits] * channels), 262: (3, [photometric]), 277: (3, [channels])}
    tags |= {339: (3, [sample_format] * channels)} if sample_format != 1 else {}
    numbers = {"extra": 338, "planar": 284, "compression": 259}
    return tags | {numbers[name]: (3, [value]) for name, value in more.items()}


def pack12(values: np.ndarray) -> bytes:
    first, second = values.reshape(-1, 2).astype(np.uint32).T
    return np.stack([first >> 4, ((first & 15) << 4) | (second >> 8), second & 255], 1).astype(np.uint8).tobytes()


def ycbcr_blocks() -> bytes:
    """The picture as TIFF's blocks of 2 x 2 luminances and their two colours."""
    ycc = np.array(PICTURE.convert("YCbCr"))
    blocks = ycc[..., 0].reshape(H // 2, 2, W // 2, 2).transpose(0, 2, 1, 3).reshape(H // 2, W // 2, 4)
    return np.concatenate([blocks, ycc[::2, ::2, 1:]], axis=2).tobytes()


def lossless_jpeg(values_HW: np.ndarray, precision: int = 8) -> bytes:
    """Grey, process 3, predictor 1, every category's code of 5 bits (ITU-T T.81, annex H)."""
    height, width = values_HW.shape
    left = np.roll(values_HW.astype(int), 1, axis=1)
    left[1:, 0], left[0, 0] = values_HW[:-1, 0], 1 << (precision - 1)
    bits = []
    for difference in (values_HW.astype(int) - left).reshape(-1).tolist():
        n = abs(difference).bit_length()
        low = difference if difference >= 0 else difference + (1 << n) - 1
        bits.append(f"{n:05b}" + (f"{low:0{n}b}" if n else ""))
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    data = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    frame = struct.pack(">BHHBBBB", precision, height, width, 1, 1, 0x11, 0)
    parts = segment(0xC4, table) + segment(0xC3, frame) + segment(0xDA, bytes([1, 1, 0, 1, 0, 0]))
    return b"\xff\xd8" + parts + data + b"\xff\xd9"


def blocky_jpeg(
    sampling: list[tuple[int, int]], numbers: tuple[int, ...] = (1, 2, 3), interleaved: bool = True
) -> bytes:
    """The picture in one colour a block, its components sampled so many times a unit, across and down."""
    most_x, most_y = (max(sides) for sides in zip(*sampling, strict=True))
    ycc, scans = np.array(PICTURE.convert("YCbCr")).astype(float), []
    for chosen in [[0, 1, 2]] if interleaved else [[0], [1], [2]]:
        bits, before = [], [0, 0, 0]
        alone, unit_x, unit_y = len(chosen) == 1, 8 * most_x, 8 * most_y
        if alone:
            unit_x, unit_y = unit_x // sampling[chosen[0]][0], unit_y // sampling[chosen[0]][1]
        for top, left in ((top, left) for top in range(0, H, unit_y) for left in range(0, W, unit_x)):
            for part in chosen:
                across, down = (1, 1) if alone else sampling[part]
                for y, x in ((y, x) for y in range(down) for x in range(across)):
                    wide, high = unit_x // across, unit_y // down
                    y0, x0 = min(top + y * high, H - 1), min(left + x * wide, W - 1)
                    value = round(ycc[y0 : y0 + high, x0 : x0 + wide, part].mean()) - 128
                    change, before[part] = value - before[part], value
                    n = abs(change).bit_length()
                    low = change if change >= 0 else change + (1 << n) - 1
                    bits.append(f"{n:04b}" + (f"{low:0{n}b}" if n else "") + "0")
        text = "".join(bits)
        text += "1" * (-len(text) % 8)
        data = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")
        tables = b"".join(bytes([numbers[part], 0]) for part in chosen)
        scans.append(segment(0xDA, bytes([len(chosen)]) + tables + b"\0\x3f\0") + data)
    parts = b"".join(bytes([number, 16 * x + y, 0]) for number, (x, y) in zip(numbers, sampling, strict=True))
    frame = segment(0xDB, bytes([0, 8] + 63 * [1])) + segment(0xC0, struct.pack(">BHHB", 8, H, W, 3) + parts)
    codes = segment(0xC4, bytes([0, 0, 0, 0, 12, *[0] * 12, *range(12)])) + segment(0xC4, bytes([16, 1, *[0] * 16]))
    return b"\xff\xd8" + frame + codes + b"".join(scans) + b"\xff\xd9"


def blocky() -> dict[str, bytes]:
    """Name -> a JPEG of the picture of 8 x 8 blocks or larger ones, of makes that Pillow does not write."""
    return {
        "jpeg_blocky": blocky_jpeg([(1, 1), (1, 1), (1, 1)]),
        "jpeg_blocky_same_number": blocky_jpeg([(1, 1), (1, 1), (1, 1)], (7, 7, 7)),
        "jpeg_blocky_apart": blocky_jpeg([(2, 2), (1, 1), (1, 1)], interleaved=False),
        "jpeg_blocky_half_colours": blocky_jpeg([(2, 2), (2, 1), (1, 2)]),
        "jpeg_blocky_half_light": blocky_jpeg([(1, 1), (2, 2), (2, 2)]),
        "jpeg_blocky_alike": blocky_jpeg([(2, 2), (2, 2), (2, 2)], interleaved=False),
        "jpeg_blocky_third": blocky_jpeg([(3, 1), (1, 1), (1, 1)]),
    }


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def after_start(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG with segments (or anything) right behind its start of image."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def swapped_profile() -> bytes:
    """sRGB's own profile with its red and green exchanged: through it red is shown as green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {name: profile.find(name, 128) for name in (b"rXYZ", b"gXYZ")}
    red, green = (profile[at + 4 : at + 8] for at in places.values())
    profile[places[b"rXYZ"] + 4 : places[b"rXYZ"] + 8], profile[places[b"gXYZ"] + 4 : places[b"gXYZ"] + 8] = green, red
    return bytes(profile)


def ink_profile(lightness: int) -> bytes:
    """A CMYK profile by which any coloured ink is a grey of this lightness (0 to 100), black black (ICC.1, 10.10)."""
    inks = bytes([lightness * 255 // 100, 128, 128]), bytes([0, 128, 128])
    nodes = bytes([255, 128, 128]) + inks[1] + 7 * (inks[0] + inks[1])  # of 16 corners; black changes fastest
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + 4 * ramp + nodes + 3 * ramp
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    start = 128 + 4 + 2 * 12
    tags = struct.pack(">I4sII4sII", 2, b"A2B0", start, len(table), b"wtpt", start + len(table), len(white))
    header = bytearray(128)
    header[0:4] = struct.pack(">I", start + len(table) + len(white))
    header[8:12], header[12:24], header[36:40] = b"\x02\x40\0\0", b"prtrCMYKLab ", b"acsp"
    header[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    return bytes(header) + tags + table + white


def bmp_of_clear(height: int = H) -> bytes:
    """The header and rows of a bitmap with a fourth byte that is zero everywhere; an icon's height is doubled."""
    header = struct.pack("<IiiHHIIiiII", 40, W, height, 1, 32, 0, 0, 0, 0, 0, 0)
    return header + np.dstack([RGB[::-1, :, ::-1], np.zeros((H, W), np.uint8)]).tobytes()


def ico_of_clear() -> bytes:
    body = bmp_of_clear(2 * H) + bytes(H * 12)
    return struct.pack("<HHH4B2H2I", 0, 1, 1, W, H, 0, 0, 1, 32, len(body), 22) + body


def tiled_jp2() -> tuple[bytes, list[int]]:
    """A codestream of six tiles, and where each begins."""
    whole = encode("JPEG2000", tile_size=(32, 32), no_jp2=True)
    return whole, [at for at in range(len(whole)) if whole[at : at + 4] == b"\xff\x90\0\x0a"]


def ico_of_png() -> bytes:
    whole = encode("PNG")
    return struct.pack("<HHH4B2H2I", 0, 1, 1, W, H, 0, 0, 1, 32, len(whole), 22) + whole


def sound() -> dict[str, bytes]:
    """Name -> a file of the picture; a name with "grey" in it is a file of its grey."""
    luma, jpeg = Image.fromarray(LUMA), encode("JPEG", quality=95)
    big_rgb16, planes16 = RGB16.astype(">u2"), [RGB16[:, :, i].tobytes() for i in range(3)]
    filtered, greys = np.zeros((H, 1), np.uint8), chunk(b"PLTE", bytes(i for i in range(256) for _ in range(3)))
    files = {kind.lower(): encode(kind) for kind in ("PNG", "BMP", "TIFF", "PPM", "JPEG2000")}
    files |= {
        **{"webp": encode("WEBP", quality=95), "webp_lossless": encode("WEBP", lossless=True), "ico": ico_of_png()},
        **{"gif_grey": encode("GIF", luma), "png_grey": encode("PNG", luma), "bmp_grey": encode("BMP", luma)},
        **{"jpeg": jpeg, "jpeg_progressive": encode("JPEG", quality=95, progressive=True)},
        **{"jpeg_restarts": encode("JPEG", quality=95, restart_marker_blocks=3), "jpeg_grey": encode("JPEG", luma)},
        **{"jpeg_grey_lossless": lossless_jpeg(LUMA), "jpeg_rgb": encode("JPEG", quality=95, keep_rgb=True)},
        "jpeg_no_end_marker": jpeg[:-2],
        "jpeg_short_app0": b"\xff\xd8\xff\xe0\0\x07JFIF\0" + jpeg[2:],
        "jpeg_with_tail": jpeg + b"ftypmp42 .. \xff\xda .. \xff\xd9",
        "jpeg_then_jpeg": jpeg + encode("JPEG", luma),
        "jpeg_padded": jpeg[:-2] + bytes(500) + jpeg[-2:],
        "jpeg_garbage_between": jpeg[:20] + b"garbage" + jpeg[20:],
        "mpo": encode("MPO", save_all=True, append_images=[luma.convert("RGB")], quality=95)[:-300],
        "png_rgb16": png_of(np.hstack([filtered, big_rgb16.view(np.uint8).reshape(H, -1)]).tobytes(), 16, 2),
        "png_interlaced_palette_grey": encode("PNG", luma.quantize(256)),
        "png_bad_gama": png(chunk(b"gAMA", b"\0\0\xb1\x8f", 1)),
        "png_short_phys": png(chunk(b"pHYs", b"\0\0")),
        "png_ztxt_method": png(chunk(b"zTXt", b"a\0\x01" + zlib.compress(b"abc"))),
        "png_icc_bomb": png(chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(9_000_000)))),
        "png_text_bomb": png(chunk(b"iTXt", b"a\0\x01\0\0\0" + zlib.compress(b"x" * 9_000_000))),
        "png_many_texts": png(*[chunk(b"tEXt", b"key\0" + bytes(1000))] * 2000),
        "png_palette_long_transparency_grey": png_of(
            np.hstack([filtered, LUMA]).tobytes(), 8, 3, greys, chunk(b"tRNS", bytes(257))
        ),
        "ico_clear": ico_of_clear(),
        "jpeg2000_tiles": tiled_jp2()[0],
        "apng_broken_sequence": png(chunk(b"acTL", bytes(3)), chunk(b"fcTL", bytes(26))),
        "tiff_rgb16": tiff(samples(16, 2, 3), RGB16.tobytes()),
        "tiff_rgb16_planar": tiff(samples(16, 2, 3, planar=2), *planes16),
        "tiff_rgb16_planar_deflate": tiff(samples(16, 2, 3, planar=2, compression=8), *map(zlib.compress, planes16)),
        "tiff_rgb_planar": tiff(samples(8, 2, 3, planar=2), *(RGB[:, :, i].tobytes() for i in range(3))),
        "tiff_grey8_white_is_zero": tiff(samples(8, 0), (255 - LUMA).tobytes()),
        "tiff_grey8_white_is_zero_planar": tiff(samples(8, 0, planar=2), (255 - LUMA).tobytes()),
        "tiff_grey12": tiff(samples(12, 1), pack12(LUMA.astype(np.uint32) * 16)),
        "tiff_grey16": tiff(samples(16, 1), LUMA16.tobytes()),
        "tiff_grey16_undefined": tiff(samples(16, 1, sample_format=4), LUMA16.tobytes()),
        "tiff_rgb_undefined": tiff(samples(8, 2, 3, sample_format=4), RGB.tobytes()),
        "tiff_grey16_planar": tiff(samples(16, 1, planar=2), LUMA16.tobytes()),
        "tiff_grey16_white_is_zero": tiff(samples(16, 0), (65535 - LUMA16).tobytes()),
        "tiff_grey32": tiff(samples(32, 1), (LUMA.astype(np.uint32) * 16843009).tobytes()),
        "tiff_grey_alpha_in": tiff(samples(8, 1, 2, extra=1), np.stack([LUMA, np.full_like(LUMA, 255)], 2).tobytes()),
        "tiff_grey8_of_no_photometric": tiff({258: (3, [8])}, LUMA.tobytes()),
        "tiff_rgb_of_no_photometric": tiff({258: (3, [8] * 3), 277: (3, [3])}, RGB.tobytes()),
        "tiff_palette_of_8_bits_grey": tiff(samples(8, 3) | {320: (3, 3 * list(range(256)))}, LUMA.tobytes()),
        "tiff_strips": tiff(samples(8, 2, 3) | {278: (4, [20])}, *(RGB[y : y + 20].tobytes() for y in (0, 20, 40))),
        "tiff_ycbcr_subsampled": tiff(samples(8, 6, 3) | {530: (3, [2, 2])}, ycbcr_blocks()),
        **{f"tiff_{way}": encode("TIFF", compression=way) for way in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")},
        "ppm_16": b"P6 %d %d 65535\n" % (W, H) + big_rgb16.tobytes(),
        "ppm_100": b"P6 %d %d 100\n" % (W, H) + (RGB * (100 / 255) + 0.5).astype(np.uint8).tobytes(),
        "ppm_plain": b"P3 # a comment\n%d %d 255\n" % (W, H) + b" ".join(b"%d" % v for v in RGB.reshape(-1).tolist()),
        "pgm_grey": b"P5\n%d %d\n255\n" % (W, H) + LUMA.tobytes(),
        "pgm_grey_16": b"P5\n%d %d\n65535\n" % (W, H) + LUMA16.astype(">u2").tobytes(),
        "pgm_grey_plain": b"P2\n%d %d\n255\n" % (W, H) + b"\n".join(b"%d" % v for v in LUMA.reshape(-1).tolist()),
    }
    if "AVIF" in Image.SAVE:
        files["avif"] = encode("AVIF", quality=95)
    return files


def refused() -> dict[str, tuple[bytes, str]]:
    """Name -> (a file that must not be embedded, its reject code)."""
    jpeg, zeros, gif = encode("JPEG"), bytes(W * H * 16), encode("GIF")
    (jp2, tiles), codes = tiled_jp2(), gif.index(b",\0\0\0\0") + 10
    strips = samples(8, 2, 3) | {278: (4, [20])}
    half = jpeg[: (jpeg.rfind(b"\xff\xda") + len(jpeg)) // 2].rstrip(b"\xff") + b"\xff\xd9"
    cut = {
        f"{kind}_cut": encode(kind) for kind in ("PNG", "BMP", "TIFF", "PPM", "JPEG2000", "WEBP", "ICO", "GIF", "JPEG")
    }
    cut |= {"AVIF_cut": encode("AVIF")} if "AVIF" in Image.SAVE else {}
    cut["TIFF_lzw_cut"] = encode("TIFF", compression="tiff_lzw")
    unsupported = {
        "tiff_float16": tiff(samples(16, 1, sample_format=3), zeros),
        "tiff_float32": tiff(samples(32, 1, sample_format=3), zeros),
        "tiff_float32_rgb": tiff(samples(32, 2, 3, sample_format=3), zeros),
        "tiff_signed16_negative": tiff(samples(16, 1, sample_format=2), b"\xff\xff" * W * H),
        "tiff_signed8_negative": tiff(samples(8, 1, sample_format=2), b"\xff" * W * H),
        "tiff_signed8_negative_lzw": encode("TIFF", Image.fromarray(LUMA), compression="tiff_lzw", tiffinfo={339: 2}),
        "tiff_signed32": tiff(samples(32, 1, sample_format=2), zeros),
        "tiff_lab": tiff(samples(8, 8, 3), zeros),
        "tiff_lab_alpha": tiff(samples(8, 8, 4, extra=2), zeros),
        "tiff_5_channels": tiff(samples(8, 1, 5), zeros),
        "tiff_webp": tiff(samples(8, 2, 3, compression=50001), encode("WEBP")),
        "tiff_of_no_compression_known": tiff(samples(8, 2, 3, compression=9999), zeros),
        "jpeg_lossless_12": lossless_jpeg(LUMA.astype(np.uint16) * 16, precision=12),
        "jpeg_12": jpeg.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
        "jpeg_ls": jpeg.replace(b"\xff\xc0", b"\xff\xf7", 1),
        "pcx": b"\n\5\1\x08" + bytes(124),
        "jpeg_hierarchical": jpeg.replace(b"\xff\xc0", b"\xff\xc5", 1),
        "jxl": b"\xff\n\x10\x10\x10P\xb9" + bytes(50),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50),
        "pam": b"P7\nWIDTH 1\n",
        "svg_of_illustrator": b'<!-- Generator: x -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        "svg_with_mark": b'\xef\xbb\xbf <svg xmlns="http://www.w3.org/2000/svg"/>',
        **{"dds": b"DDS |\0\0\0" + bytes(120), "dicom": bytes(128) + b"DICM" + bytes(50), "qoi": b"qoif" + bytes(50)},
        **{"hdr": b"#?RADIANCE\n" + bytes(50), "psd": b"8BPS" + bytes(50), "cursor": b"\0\0\2\0\1\0" + bytes(50)},
        "targa": b"\0\0\2" + bytes(60) + b"TRUEVISION-XFILE.\0",
    }
    return {
        **{name: (content[: len(content) * 3 // 5], "truncated") for name, content in cut.items()},
        **{name: (content, "unsupported") for name, content in unsupported.items()},
        "gif_codes_of_no_bits": (gif[:codes] + b"\0" + gif[codes + 1 :], "corrupt"),
        "png_without_palette": (png_of(bytes(H * (W + 1)), 8, 3), "corrupt"),
        "jpeg2000_tile_gone": (jp2[: tiles[3]] + jp2[tiles[4] :], "truncated"),
        "jpeg2000_tiles_gone": (jp2[: tiles[3]] + b"\xff\xd9", "truncated"),
        "tiff_strip_gone": (tiff(strips, RGB[:20].tobytes(), RGB[20:40].tobytes()), "truncated"),
        "tiff_strip_nowhere": (tiff(strips | {273: (4, [8, 8, 0])}, RGB.tobytes()), "truncated"),
        "jpeg_half_then_jpeg": (half + jpeg, "truncated"),
        "jpeg_half_then_end_marker": (half + b"ftyp..\xff\xd9..", "truncated"),
        "jpeg_zero_tail": (jpeg[: len(jpeg) * 3 // 4] + bytes(len(jpeg)) + b"\xff\xd9", "truncated"),
    }
