"""TIFF files written here byte by byte, so that it is known which value is black: none is explained as its negative."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from lrp_explorer import zoo
from lrp_explorer.errors import DataError
from lrp_explorer.zoo import open_image
from lrp_explorer.zoo.preprocessing import Unit

UNSIGNED, SIGNED, FLOAT = 1, 2, 3


def tiff(values, photometric=1, order="<", kind=None, bits=None, packed=None, more=()) -> bytes:
    """One strip of grey without compression."""
    height, width = values.shape
    strip = packed or values.astype(values.dtype.newbyteorder(order)).tobytes()
    short, long = 3, 4
    tags = [
        (256, short, width), (257, short, height), (258, short, bits or values.dtype.itemsize * 8), (259, short, 1),
        (262, short, photometric), (273, long, 8), (277, short, 1), (278, short, height), (279, long, len(strip)),
    ]  # fmt: skip
    tags += [*more, (339, short, kind)] if kind else more
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, form, 1) + struct.pack(f"{order}HH" if form == short else f"{order}I", *fill)
        for tag, form, value in sorted(tags)
        for fill in [(value, 0) if form == short else (value,)]
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(strip))
    return head + strip + struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)


def grey(content: bytes, **options) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = np.asarray(open_image(content, **options))
    assert (picture == picture[..., :1]).all()
    return picture[..., 0]


RAMP = np.arange(256).reshape(16, 16)
DEPTHS = {
    "8 bits": (RAMP.astype(np.uint8), None),
    "8 bits signed": ((RAMP - 128).astype(np.int8), SIGNED),
    "16 bits": ((RAMP * 257).astype(np.uint16), None),
    "16 bits told": ((RAMP * 257).astype(np.uint16), UNSIGNED),
    "16 bits signed": ((RAMP * 257 - 32768).astype(np.int16), SIGNED),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_black_and_white_are_where_the_file_says(depth, order):
    values, kind = DEPTHS[depth]
    np.testing.assert_array_equal(grey(tiff(values, 1, order, kind)), RAMP)
    np.testing.assert_array_equal(grey(tiff(values, 0, order, kind)), 255 - RAMP)


@pytest.mark.parametrize("photometric", [0, 1])
def test_one_bit_is_as_pillow_has_it(photometric):
    rows = np.array([[1, 0, 1, 1, 0, 0, 0, 1]] * 2, np.uint8)
    content = tiff(rows, photometric, bits=1, packed=np.packbits(rows, axis=1).tobytes())
    np.testing.assert_array_equal(grey(content), (rows if photometric else 1 - rows) * 255)


@pytest.mark.parametrize("photometric", [0, 1])
def test_twelve_bits_packed(photometric):
    values = np.array([[0, 273, 2730, 4095]])  # 12 bits each: 000 111 AAA FFF
    content = tiff(values, photometric, bits=12, packed=bytes.fromhex("000111AAAFFF"))
    expected = np.round(values / 4095 * 255)
    np.testing.assert_array_equal(grey(content), expected if photometric else 255 - expected)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_compressed_files_are_inverted_alike(compression):
    stream = io.BytesIO()
    Image.fromarray(DEPTHS["16 bits"][0]).save(stream, "TIFF", compression=compression, tiffinfo={262: 0})
    content = stream.getvalue()
    assert Image.open(io.BytesIO(content)).tag_v2[262] == 0
    np.testing.assert_array_equal(grey(content), 255 - RAMP)


def test_upright_and_inverted_at_once():
    content = tiff(DEPTHS["16 bits"][0], 0, more=[(274, 3, 6)])
    np.testing.assert_array_equal(grey(content), np.rot90(255 - RAMP, 3))


@pytest.mark.parametrize(
    ("values", "kind"),
    [((RAMP * 16).astype(np.uint16), None), ((RAMP * 16 - 1024).astype(np.int16), SIGNED)],
)
def test_few_bits_in_a_wide_file_are_told_and_stretched_on_request(values, kind):
    for photometric, expected in ((1, RAMP), (0, 255 - RAMP)):
        content = tiff(values, photometric, kind=kind)
        with pytest.warns(UserWarning, match=rf"values from {values.min()} to {values.max()}, .* nearly uniform"):
            faint = np.asarray(open_image(content))[..., 0]
        assert np.ptp(faint.astype(int)) <= 16
        np.testing.assert_array_equal(grey(content, stretch=True), expected)


@pytest.mark.parametrize("kind", [UNSIGNED, SIGNED, FLOAT])
def test_values_without_a_known_white_are_refused_or_stretched(kind):
    values = (RAMP * 1000.0).astype({UNSIGNED: np.uint32, SIGNED: np.int32, FLOAT: np.float32}[kind])
    with pytest.raises(DataError, match=r"no known white; save it with 8 or 16 bits, or open it by open_image"):
        open_image(tiff(values, kind=kind))
    np.testing.assert_array_equal(grey(tiff(values, kind=kind), stretch=True), RAMP)
    np.testing.assert_array_equal(grey(tiff(values, 0, kind=kind), stretch=True), 255 - RAMP)


def test_what_is_not_finite_cannot_be_stretched():
    values = np.ones((4, 4), np.float32)
    values[2, 1] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        open_image(tiff(values, kind=FLOAT), stretch=True)


def test_a_uniform_picture_stays_one():
    assert (grey(tiff(np.full((4, 4), 7, np.uint16)), stretch=True) == 0).all()


def test_the_first_of_several_pages_is_taken_and_told():
    pages = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (10, 20, 30)]
    stream = io.BytesIO()
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match="has 3 pages; the first is taken"):
        assert (np.asarray(open_image(stream.getvalue())) == 10).all()


def test_an_x_ray_reaches_the_network_as_it_is(tmp_path):
    (tmp_path / "x-ray.tif").write_bytes(tiff((np.arange(784).reshape(28, 28) * 83).astype(np.uint16), 0, ">"))
    x, _ = zoo.load_dataset(f"folder:{tmp_path}", card=zoo.model_card("digits-cnn"))[0]
    assert x[0, 0, 0] == 1
    assert x[0, -1, -1] < 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_sixteen_bits_in_memory_are_scaled_too(channels):
    picture = Image.fromarray(DEPTHS["16 bits"][0])
    tensor = Unit(16, 16, channels)(picture)
    np.testing.assert_allclose(tensor[0].numpy() * 255, RAMP, atol=1e-4)
    with pytest.raises(DataError, match="no known white"):
        Unit(16, 16, channels)(Image.fromarray(RAMP.astype(np.float32)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_tags_that_point_nowhere_are_damage():
    content = bytearray(tiff(DEPTHS["16 bits"][0], 0))
    for size in (6, 12, 60):
        with pytest.raises(DataError, match="cannot be decoded"):
            open_image(bytes(content[:size]))
