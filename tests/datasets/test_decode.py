"""Decoding: kinds of pixels, orientation, and files that are not what they say."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from duchenne.datasets.decode import decode_image, image_shape
from duchenne.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 17)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (12, 17, 3)).astype(np.uint8)


def _bytes(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_formats_give_the_pixels(format: str, pixels: np.ndarray, tmp_path: Path) -> None:
    data = _bytes(Image.fromarray(pixels), format)
    np.testing.assert_array_equal(decode_image(data), pixels)
    path = tmp_path / "image.any"
    path.write_bytes(data)
    np.testing.assert_array_equal(decode_image(path), pixels)
    assert image_shape(path) == pixels.shape


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_exif_orientation(orientation: int, form: str, pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _bytes(Image.fromarray(pixels), form, exif=exif)
    # What the bytes hold without the tag, turned as EXIF 2.3, table 6, says.
    plain = decode_image(_bytes(Image.fromarray(pixels), form))
    turned = {
        1: plain, 2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1],
        5: np.swapaxes(plain, 0, 1), 6: np.rot90(plain, -1), 7: np.rot90(np.swapaxes(plain, 0, 1), 2),
        8: np.rot90(plain, 1),
    }  # fmt: skip
    expected = turned[orientation]
    np.testing.assert_array_equal(decode_image(data), expected)
    assert image_shape(data) == expected.shape
    assert decode_image(data).flags.c_contiguous


def test_sixteen_bits_are_scaled() -> None:
    wide = np.array([[0, 257, 65535, 128, 129, 32768]] * 8, dtype=np.uint16)
    out = decode_image(_bytes(Image.fromarray(wide), "PNG"))
    np.testing.assert_array_equal(out[0], [0, 1, 255, 0, 1, 128])
    assert image_shape(_bytes(Image.fromarray(wide), "PNG")) == out.shape


def test_transparency_stands_on_white() -> None:
    rgba = np.zeros((4, 4, 4), dtype=np.uint8)
    rgba[:2] = (10, 20, 30, 255)
    out = decode_image(_bytes(Image.fromarray(rgba)))
    assert out[0, 0].tolist() == [10, 20, 30]
    assert out[3, 3].tolist() == [255, 255, 255]
    la = _bytes(Image.fromarray(rgba).convert("LA"))
    assert decode_image(la).shape == (4, 4) == image_shape(la)
    assert decode_image(la)[3, 3] == 255


def test_palettes_bits_and_cmyk() -> None:
    palette = Image.fromarray(COLOUR).quantize(8)
    np.testing.assert_array_equal(decode_image(_bytes(palette)), np.asarray(palette.convert("RGB")))
    clear = _bytes(palette, transparency=0)
    assert decode_image(clear).shape == COLOUR.shape == image_shape(clear)
    bits = Image.fromarray(GREY).convert("1")
    np.testing.assert_array_equal(decode_image(_bytes(bits)), np.asarray(bits) * np.uint8(255))
    cmyk = Image.fromarray(np.full((8, 8, 3), (200, 40, 40), dtype=np.uint8)).convert("CMYK")
    out = decode_image(_bytes(cmyk, "JPEG", quality=95))
    assert np.abs(out[4, 4].astype(int) - (200, 40, 40)).max() < 12


def test_first_frame_of_several() -> None:
    frames = [Image.fromarray(np.full((8, 8), v, dtype=np.uint8)) for v in (50, 200)]
    out = decode_image(_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert out.max() == 50


def test_floating_point_is_refused() -> None:
    data = _bytes(Image.fromarray(GREY.astype(np.float32)), "TIFF")
    with pytest.raises(DataError, match="kind 'F'"):
        decode_image(data)


def _png_header(width: int, height: int) -> bytes:
    """A PNG whose header announces a size that its few bytes do not hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [8001, 10_000, 20_000])
def test_large_images_are_refused_by_the_header(side: int, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(_png_header(side, side))
    for read in (decode_image, image_shape):
        with pytest.raises(DataError, match=r"large.png is too large(.|\n)*limit is 64 million"):
            read(path)


def test_limit_is_an_argument() -> None:
    data = _bytes(Image.fromarray(GREY))
    assert decode_image(data, max_pixels=12 * 17).shape == (12, 17)
    with pytest.raises(DataError, match="17x12"):
        decode_image(data, max_pixels=12 * 17 - 1)


def test_what_is_not_an_image(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("hello")
    with pytest.raises(DataError, match=r"text.png is not an image"):
        decode_image(text)
    with pytest.raises(DataError, match=r"there is no file .*none.png"):
        decode_image(tmp_path / "none.png")
    with pytest.raises(DataError, match="upload 3 is not an image"):
        decode_image(b"", name="upload 3")
    with pytest.raises(DataError, match="cannot be read"):
        decode_image(tmp_path)
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    with pytest.raises(DataError, match="not an image in a known format"):
        decode_image(postscript)


def test_truncated_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    data = _bytes(Image.fromarray(RNG.integers(0, 256, (64, 64)).astype(np.uint8)), "JPEG")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut.jpg cannot be decoded: image file is truncated"):
        decode_image(path)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"]))
def test_damaged_bytes_give_pixels_or_a_data_error(seed: int, format: str) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(_bytes(Image.fromarray(COLOUR), format))
    for at in rng.integers(0, len(data), 6):
        data[at] = rng.integers(0, 256)
    try:
        out = decode_image(bytes(data[: rng.integers(1, len(data) + 1)]), max_pixels=1_000_000)
    except DataError:
        return
    assert out.dtype == np.uint8
    assert out.ndim in (2, 3)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC picture"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "an AVIF picture"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "a video"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"\xff\x0a" + bytes(20), "a JPEG XL picture"),
        (b"8BPS\0\1" + bytes(20), "a Photoshop file"),
        (b"%PDF-1.7\n", "a PDF"),
    ],
)
def test_formats_that_are_not_read_are_named(head: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(head)
    for source in (tmp_path / "a.jpg", head):
        with pytest.raises(DataError, match=f"is {said}, which is not read here\n.*save it as JPEG or PNG"):
            decode_image(source)
