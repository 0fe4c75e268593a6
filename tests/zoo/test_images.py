"""Pictures from strangers: bounded before they are decoded, upright, RGB, and refused with a reason."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from lrp_explorer.errors import DataError
from lrp_explorer.zoo import images, open_image


def as_bytes(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def black_png(width: int, height: int, rows: int | None = None) -> bytes:
    """A real PNG of one bit a pixel: a hundred megapixels of black are 12 kB of file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.fixture
def gradient() -> Image.Image:
    values = np.stack(np.broadcast_arrays(np.arange(40)[:, None] * 6, np.arange(30)[None] * 8, 100), axis=-1)
    return Image.fromarray(values.astype(np.uint8))


def test_a_png_comes_back_pixel_for_pixel_from_path_and_from_bytes(gradient, tmp_path):
    gradient.save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), as_bytes(gradient)):
        opened = open_image(source)
        assert opened.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(opened), np.asarray(gradient))


def test_a_hundred_megapixels_are_refused_before_they_are_decoded(tmp_path):
    bomb = black_png(10_000, 10_000)
    assert len(bomb) < 20_000
    tracemalloc.start()
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(DataError) as caught:
        open_image(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "10000 × 10000 = 100 megapixels" in str(caught.value)
    assert "at most 50 megapixels. Scale it down first" in str(caught.value)
    assert peak < 5_000_000


def test_the_limit_itself_is_allowed(monkeypatch):
    with pytest.raises(DataError, match=r"10000 × 5001 = 50\.01 megapixels"):
        open_image(black_png(10_000, 5_001, rows=0))
    monkeypatch.setattr(images, "PIXEL_LIMIT", 1_000)
    assert open_image(black_png(40, 25)).size == (40, 25)
    with pytest.raises(DataError, match="40 × 26"):
        open_image(black_png(40, 26))


def test_a_header_beyond_pillows_own_limit_is_refused_alike():
    with pytest.raises(DataError, match=r"too large: .*expected at most 50 megapixels"):
        open_image(black_png(60_000, 10_000, rows=0))


def test_a_mere_line_is_refused():
    with pytest.raises(DataError, match=r"3100 × 100 pixels; expected a longest side of at most 30 times"):
        open_image(black_png(3_100, 100))
    assert open_image(black_png(3_000, 100)).size == (3_000, 100)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for source in (tmp_path / "nothing.png", tmp_path):
        with pytest.raises(DataError, match=r"there is no such file; check the path") as caught:
            open_image(source)
        assert str(source) in str(caught.value)


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "notes.png").write_text("no image")
    with pytest.raises(DataError, match=r"notes.png' cannot be decoded .*expected an undamaged file, one of PNG"):
        open_image(tmp_path / "notes.png")


def test_vector_formats_are_not_even_tried():
    with pytest.raises(DataError, match=r"cannot be decoded \(UnidentifiedImageError"):
        open_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")


def test_a_decoder_that_stumbles_is_a_damaged_file():
    with pytest.raises(DataError, match=r"cannot be decoded \(ValueError"):
        open_image(b"P6\n2 2Q5\n255\n" + bytes(12))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_damaged_files_are_refused_or_opened_and_never_crash(gradient, kind):
    whole = as_bytes(gradient, kind)
    with pytest.raises(DataError, match="cannot be decoded"):
        open_image(whole[: len(whole) // 2])
    draw = np.random.RandomState(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in draw.randint(0, len(whole), size=4):
            damaged[place] = draw.randint(256)
        try:
            assert open_image(bytes(damaged)).mode == "RGB"
        except DataError as error:
            assert str(error).startswith("the image of")  # noqa: PT017, either outcome is right


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_exif_orientation_is_applied(gradient, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    opened = open_image(as_bytes(gradient, "PNG", exif=exif))
    np.testing.assert_array_equal(np.asarray(opened), np.rot90(np.asarray(gradient), turns))


def test_transparency_is_laid_on_white():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (255, 0, 0, 255)
    pixels[1, 1] = (0, 0, 0, 128)
    opened = np.asarray(open_image(as_bytes(Image.fromarray(pixels))))
    assert opened[0, 0].tolist() == [255, 0, 0]
    assert opened[0, 1].tolist() == [255, 255, 255]
    assert opened[1, 1].tolist() == [127, 127, 127]


def test_sixteen_bit_grey_keeps_its_contrast():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    opened = np.asarray(open_image(as_bytes(Image.fromarray(ramp))))[..., 0]
    np.testing.assert_array_equal(opened.reshape(-1), np.arange(256))


def test_an_image_without_a_known_white_is_refused():
    with pytest.raises(DataError, match=r"32-bit values \(mode 'F'\) has no known white; save it with 8 or 16 bits"):
        open_image(as_bytes(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


def test_every_suffix_that_a_folder_accepts_can_be_opened(gradient, tmp_path):
    for suffix in images.SUFFIXES:
        path = tmp_path / f"a{suffix}"
        (gradient.convert("L") if suffix == ".pgm" else gradient).save(path)
        assert open_image(path).size == gradient.size
