"""Whatever is fed: the files of tests/fuzz/makers.py come out right, or with their reject code and the true reason."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
import torch
from fuzz import makers
from PIL import Image

from devise.errors import ImageError
from devise.values import ENDINGS_READ
from devise.vision import formats, jpeg, stills
from devise.vision.images import REJECT_CODES, Preprocessing, decode

SMALL = Preprocessing(resize=48, crop=40)
SOUND, REFUSED, BLOCKY = makers.sound(), makers.refused(), makers.blocky()


def pixels(content: bytes, preprocessing: Preprocessing = SMALL) -> torch.Tensor:
    return decode(content, preprocessing, 1_000_000).pixels.int()


def rejected(content: bytes, max_pixels: int = 1_000_000) -> tuple[str, str]:
    with pytest.raises(ImageError) as caught:
        decode(content, SMALL, max_pixels)
    assert caught.value.code in REJECT_CODES and "\n" not in str(caught.value)
    return caught.value.code, str(caught.value)


def apart(left: torch.Tensor, right: torch.Tensor) -> float:
    return (left - right).abs().float().mean().item()


RIGHT, RIGHT_GREY = pixels(makers.encode("PNG")), pixels(makers.encode("PNG", Image.fromarray(makers.LUMA)))


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_file_of_any_make_gives_the_picture(name):
    assert apart(pixels(SOUND[name]), RIGHT_GREY if "grey" in name else RIGHT) < 6


@pytest.mark.parametrize("name", BLOCKY)
def test_a_jpeg_is_shown_whatever_its_sampling_and_numbers_or_is_truncated(name):
    whole = pixels(BLOCKY[name])
    assert apart(whole, RIGHT) < 16
    for end in (-40, -60, -90):
        for tail in (b"", b"\xff\xd9"):
            assert rejected(BLOCKY[name][:end].rstrip(b"\xff") + tail)[0] == "truncated"
    for padding in (b"\0", bytes(400)):
        assert torch.equal(pixels(BLOCKY[name][:-2] + padding + b"\xff\xd9"), whole)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_right_is_refused_with_a_true_code(name):
    content, code = REFUSED[name]
    assert rejected(content)[0] == code


@pytest.mark.parametrize("name", SOUND)
def test_a_file_cut_anywhere_is_truncated_or_shows_the_whole_picture(name):
    whole, right = SOUND[name], RIGHT_GREY if "grey" in name else RIGHT
    for end in range(len(whole) // 7, len(whole), max(1, len(whole) // 7)):
        try:
            assert apart(pixels(whole[:end]), right) < 6, end
        except ImageError as error:
            assert error.code == "truncated", (end, str(error))


@pytest.mark.parametrize("name", [name for name in SOUND if name.startswith("jpeg")])
def test_bytes_behind_a_jpeg_say_nothing_of_it(name):
    if name == "jpeg_no_end_marker":
        pytest.skip("what follows belongs to it")
    for tail in (b"\xff\xda", b"\xff\xd9", bytes(5000), SOUND["jpeg"][:900], b"\xff\xd8\xff\xe1"):
        assert torch.equal(pixels(SOUND[name] + tail), pixels(SOUND[name]))


def test_a_lossless_jpeg_is_decoded_without_scaling_however_large():
    large = np.tile(makers.LUMA, (4, 4))
    assert apart(pixels(makers.lossless_jpeg(large)), pixels(makers.encode("PNG", Image.fromarray(large)))) == 0


def test_damage_inside_a_jpeg_is_corrupt_where_libjpeg_warns_of_it():
    detailed = Image.fromarray(np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8))
    whole = makers.encode("JPEG", detailed, quality=80)
    middle = len(whole) // 2
    zeroed = whole[:middle] + bytes(4096) + whole[middle + 4096 :]
    assert rejected(zeroed)[0] in ("corrupt", "truncated")
    restarts = makers.encode("JPEG", detailed, quality=80, restart_marker_blocks=2)
    at = restarts.index(b"\xff\xd3", middle)
    code, message = rejected(restarts[:at] + b"\xff\xd6" + restarts[at + 2 :])
    assert code == "corrupt" and "found marker 0xd6 instead of RST3" in message


@pytest.mark.parametrize("n_bytes", [1, 2, 40, 500])
@pytest.mark.parametrize("value", [0, 255, 0x55])
def test_padding_before_the_end_marker_is_no_damage(n_bytes, value):
    whole = SOUND["jpeg"]
    padded = whole[:-2] + bytes([value]) * n_bytes + whole[-2:]
    assert torch.equal(pixels(padded), pixels(whole))


def test_bytes_left_over_before_the_end_marker_are_damage():
    whole = SOUND["jpeg"]
    assert rejected(whole[:-2] + bytes(range(1, 41)) + whole[-2:])[0] == "corrupt"


def test_a_progressive_jpeg_without_its_last_scan_is_truncated_only_without_an_end_marker():
    whole = SOUND["jpeg_progressive"]
    last = whole.rindex(b"\xff\xc4")
    assert rejected(whole[:last])[0] == "truncated"
    assert apart(pixels(whole[:last] + b"\xff\xd9"), RIGHT) < 8, "a coarse picture that says it is whole is one"


def test_scans_are_bounded_by_their_work():
    def jpeg_of(width: int, height: int, n_scans: int) -> bytes:
        whole = makers.encode("JPEG", Image.new("L", (width, height)), progressive=True)
        last = whole[whole.rindex(b"\xff\xda") : -2]
        return whole[:-2] + n_scans * last + b"\xff\xd9"

    code, message = rejected(jpeg_of(400, 400, 200), max_pixels=400 * 400)
    assert code == "too_slow" and "17 scans" in message
    assert decode(jpeg_of(40, 40, 200), SMALL, 400 * 400).width == 40, "small pictures may have many"
    assert rejected(b"\xff\xd8" + makers.segment(0xFE, b"") * (jpeg.MOST_SEGMENTS + 1))[0] == "too_slow"


def test_a_large_sixteen_bit_ppm_takes_no_time():
    content = b"P6 1000 1000 65535\n" + np.full((1000, 1000, 3), 200 * 257, ">u2").tobytes()
    start = time.perf_counter()
    assert (pixels(content) == 200).all() and time.perf_counter() - start < 1


def test_run_length_coded_bmps_are_bounded():
    rows = b"".join(bytes([2, 7]) * 20 + b"\0\0" for _ in range(40)) + b"\0\1"

    def bmp(side: int) -> bytes:
        header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 0, 0, 256, 0)
        palette = b"".join(bytes([i, i, i, 0]) for i in range(256))
        start = 14 + len(header) + len(palette)
        return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows

    assert (pixels(bmp(40)) == 7).all()
    assert rejected(bmp(3000), max_pixels=10**8)[0] == "too_slow"


def test_no_more_than_four_mebibytes_of_a_netpbm_header_are_looked_at():
    assert (pixels(b"P6" + b" " * 100_000 + b"40 40 255\n" + bytes(4800)) == 0).all()
    assert rejected(b"P6" + b" " * 5_000_000 + b"40 40 255\n" + bytes(4800))[0] == "corrupt"


def test_outside_the_first_frame_of_a_gif_nothing_was_drawn():
    frame = makers.encode("GIF", Image.new("P", (20, 20), 5))
    canvas = frame[:6] + struct.pack("<HH", 40, 40) + frame[10:]
    found = pixels(canvas, Preprocessing(resize=40, crop=40))
    inside = found[:, :20, :20]
    assert (inside == inside[:, :1, :1]).all() and int(inside[0, 0, 0]) < 255
    assert (found[:, 20:, :] == 255).all() and (found[:, :, 20:] == 255).all()


def test_sixteen_bit_grey_is_white_where_it_is_transparent():
    rows = b"".join(b"\0" + struct.pack(">2H", 1000, 1001) * 20 for _ in range(40))
    content = makers.png_of(rows, 16, 0, makers.chunk(b"tRNS", struct.pack(">H", 1000)), size=(40, 40))
    found = pixels(content, Preprocessing(resize=40, crop=40))[0]
    assert (found[:, ::2] == 255).all() and (found[:, 1::2] == 1001 >> 8).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_shallow_grey_is_white_where_it_is_transparent(depth):
    rows = (b"\0" + bytes(40 * depth // 8)) * 40
    content = makers.png_of(rows, depth, 0, makers.chunk(b"tRNS", b"\0\0"), size=(40, 40))
    assert (pixels(content) == 255).all()
    assert (pixels(makers.png_of(rows, depth, 0, makers.chunk(b"tRNS", b"\0\1"), size=(40, 40))) == 0).all()
    ones = {1: b"\xff", 2: b"\x55", 4: b"\x11", 8: b"\x01"}[depth] * (40 * depth // 8)
    content = makers.png_of((b"\0" + ones) * 40, depth, 0, makers.chunk(b"tRNS", b"\0\1"), size=(40, 40))
    assert (pixels(content) == 255).all()


def test_pillows_own_reason_is_in_the_message():
    assert "Unsupported BMP header type" in rejected(b"BM" + bytes(12) + b"\x07\0\0\0" + bytes(90))[1]
    assert "unknown pixel mode" in rejected(REFUSED["tiff_5_channels"][0])[1]
    broken = bytearray(makers.encode("PNG"))
    broken[29] ^= 1
    code, message = rejected(bytes(broken))
    assert code == "corrupt" and "IHDR" in message


@pytest.mark.skipif("AVIF" not in Image.OPEN, reason="this Pillow has no AVIF")
def test_what_libavif_refuses_keeps_its_reason():
    broken = bytearray(makers.encode("AVIF"))
    at = broken.index(b"av1C")
    broken[at : at + 4] = b"free"
    code, message = rejected(bytes(broken))
    assert code == "corrupt" and message.startswith("AVIF: Failed to decode image")


def test_heif_is_read_where_the_users_own_plugin_is(monkeypatch):
    def plugin(file, name):
        return Image.open(io.BytesIO(file.read()[24:]))

    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + makers.encode("PNG")
    assert rejected(content)[0] == "unsupported"
    monkeypatch.setitem(Image.OPEN, "HEIF", (plugin, None))
    assert torch.equal(pixels(content), RIGHT)


def test_colours_are_shown_through_their_profile():
    swapped = makers.swapped_profile()
    wanted = RIGHT[[1, 0, 2]]
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        assert apart(pixels(makers.encode(kind, icc_profile=swapped)), wanted) < 6, kind
    same = makers.ImageCms.ImageCmsProfile(makers.ImageCms.createProfile("sRGB")).tobytes()
    assert torch.equal(pixels(makers.encode("PNG", icc_profile=same)), RIGHT)


def test_inks_are_shown_through_their_profile():
    cyan = Image.new("CMYK", (40, 40), (255, 0, 0, 0))
    for kind in ("JPEG", "TIFF"):
        found = pixels(makers.encode(kind, cyan, icc_profile=makers.ink_profile(50)))
        assert apart(found, torch.tensor(119)) < 3, "lightness 50 is grey 119 in sRGB"
        assert apart(pixels(makers.encode(kind, cyan)), torch.tensor([0, 255, 255]).view(3, 1, 1)) < 3


@pytest.mark.parametrize("profile", [b"", b"no profile", bytes(3000), makers.ink_profile(50), "cut"])
def test_a_profile_that_is_broken_or_of_other_colours_says_nothing(profile):
    profile = makers.swapped_profile()[:300] if profile == "cut" else profile
    assert torch.equal(pixels(makers.encode("PNG", icc_profile=profile)), RIGHT)


@pytest.mark.parametrize(
    "exif",
    [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + bytes(9), b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"],
)
def test_broken_exif_turns_nothing(exif):
    assert torch.equal(pixels(makers.after_start(SOUND["jpeg"], makers.segment(0xE1, exif))), pixels(SOUND["jpeg"]))
    assert torch.equal(pixels(makers.png(makers.chunk(b"eXIf", exif[6:]))), RIGHT)


def test_a_turn_that_only_xmp_tells_is_honoured():
    xmp = makers.segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>')
    assert torch.equal(pixels(makers.after_start(SOUND["jpeg"], xmp)), pixels(SOUND["jpeg"]).transpose(1, 2).flip(2))
    text = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    assert torch.equal(pixels(makers.png(makers.chunk(b"iTXt", text))), RIGHT.transpose(1, 2).flip(2))


def test_a_turn_in_imagemagicks_text_is_honoured():
    exif = Image.Exif()
    exif[stills.ORIENTATION_TAG] = 6
    digits = exif.tobytes().hex().encode()
    text = b"\nexif\n%8d\n" % (len(digits) // 2) + digits + b"\n"
    for kind, body in ((b"tEXt", text), (b"zTXt", b"\0" + zlib.compress(text))):
        found = pixels(makers.png(makers.chunk(kind, b"Raw profile type exif\0" + body)))
        assert torch.equal(found, RIGHT.transpose(1, 2).flip(2))


@pytest.mark.parametrize(
    "segment",
    [
        makers.segment(0xE0, b"JFIF\0\3\0\0\0\1\0\1\0\0"),
        makers.segment(0xE2, b"ICC_PROFILE\0\1\1"),
        makers.segment(0xE2, b"ICC_PROFILE\0\7\3broken"),
        makers.segment(0xEE, b"Adobe\0\x64\0\0\0\0\7"),
    ],
)
def test_marks_that_libjpeg_stumbles_over_before_any_pixel_cost_nothing(segment):
    bare = SOUND["jpeg"][:2] + SOUND["jpeg"][20:]
    assert torch.equal(pixels(makers.after_start(bare, segment)), pixels(SOUND["jpeg"]))


@pytest.mark.parametrize("bits, halves", [(8, makers.LUMA // 2), (16, makers.LUMA16 // 2)])
def test_signed_samples_that_are_not_negative_are_read(bits, halves):
    found = pixels(makers.tiff(makers.samples(bits, 1, sample_format=2), halves.tobytes()))
    assert apart(found, RIGHT_GREY // 2) < 2


def test_an_icons_png_is_held_to_max_pixels():
    bomb = zlib.compress(bytes(3000 * 376))
    whole = makers.png_of(b"", 1, 0, size=(3000, 3000)).replace(zlib.compress(b""), bomb)
    icon = struct.pack("<HHH4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(whole), 22) + whole
    assert rejected(icon)[0] == "too_many_pixels"


def test_every_format_in_the_list_has_a_plugin_or_a_reader_of_its_own():
    for _, kind in formats.SIGNATURES:
        assert kind in Image.OPEN, kind


def test_no_file_is_listed_for_a_name_whose_format_is_always_refused():
    assert not {"pfm", "pam", "svg", "psd", "jxl"} & set(ENDINGS_READ)


def test_a_read_of_a_still_says_what_it_found():
    found = stills.read("PNG", makers.encode("PNG", Image.fromarray(makers.LUMA)), 10**6)
    assert (found.kind, found.values_HWC.shape, found.turn) == ("L", (makers.H, makers.W, 1), 1)
