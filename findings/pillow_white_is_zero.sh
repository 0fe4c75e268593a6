#!/usr/bin/env bash
# Pillow and TIFF files in which zero is white (PhotometricInterpretation 0, as many X-ray scanners write them).
#
# The common guess: Image.open() gives every grey TIFF with black low and white high, as it does for files of 1 and of
# 8 bits, where it inverts the values; or, if it leaves files of 16 bits alone, it leaves all of them alone.
# What happens: of the same gradient, 8 bits are inverted; 16 bits little-endian are not (the picture is its own
# negative, without a word); 16 bits big-endian, and signed 16 bits, are "no image file" although the same files with
# PhotometricInterpretation 1 are read.
# Source: the table OPEN_INFO in PIL/TiffImagePlugin.py: keys (byte order, photometric 0, ...) lead to the raw modes
# "1;I" and "L;I" (inverted) for 1 and 8 bits, but to plain "I;16" for 16 bits and little-endian, and there is no key for
# big-endian or signed samples with photometric 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q Pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import io, struct
import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError

print("Pillow", PIL.__version__)


def tiff(values, photometric, order="<", signed=False):
    strip = values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape
    tags = [(256, width), (257, height), (258, values.dtype.itemsize * 8), (259, 1), (262, photometric), (273, 8),
            (277, 1), (278, height), (279, len(strip))] + ([(339, 2)] if signed else [])
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(strip))
    return head + strip + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0)


def read(*arguments, **options):
    try:
        return np.asarray(Image.open(io.BytesIO(tiff(*arguments, **options)))).ravel().tolist()
    except UnidentifiedImageError:
        return "no image file"


bytes_, words = np.array([[0, 100, 255]], np.uint8), np.array([[0, 1000, 65535]], np.uint16)
seen = {
    "8 bits, zero is black": (read(bytes_, 1), [0, 100, 255]),
    "8 bits, zero is white": (read(bytes_, 0), [255, 155, 0]),
    "16 bits, zero is black": (read(words, 1), [0, 1000, 65535]),
    "16 bits, zero is white": (read(words, 0), [0, 1000, 65535]),
    "16 bits big-endian, zero is black": (read(words, 1, ">"), [0, 1000, 65535]),
    "16 bits big-endian, zero is white": (read(words, 0, ">"), "no image file"),
    "16 bits signed, zero is black": (read(words.astype(np.int16), 1, signed=True), [0, 1000, -1]),
    "16 bits signed, zero is white": (read(words.astype(np.int16), 0, signed=True), "no image file"),
}
for what, (found, expected) in seen.items():
    print(f"{what}: {found}")
    assert found == expected, (what, found, expected)
PY
