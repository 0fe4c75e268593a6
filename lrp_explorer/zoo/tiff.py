"""What Pillow leaves undone in TIFF files of more than 8 bits: zero may be white, and values may be signed."""

from __future__ import annotations

import struct
from dataclasses import dataclass

ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
"""Of bytes, by the first four of a file."""

WIDTHS = {1: 1, 3: 2, 4: 4}
BITS, PHOTOMETRIC, FORMAT = 258, 262, 339
WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1
SIGNED = 2


@dataclass(frozen=True)
class Samples:
    """How the numbers of the first page are meant.

    Attributes
    ----------
    bits : int
        Of a sample.
    signed : bool
        Whether they go below zero.
    white_is_zero : bool
        Whether the greatest is black.
    """

    bits: int
    signed: bool
    white_is_zero: bool


def samples(content: bytes) -> tuple[Samples | None, bytes]:
    """Read the tags of a TIFF file, and give the file as Pillow is to read it.

    Pillow inverts 1 and 8 bits in which zero is white; of 16 it takes the numbers as they are, or, where they are
    big-endian or signed, takes the file for no image. The copy says that zero is black, and has to be inverted.

    Returns
    -------
    Samples or None
        None if this is no TIFF of the classic kind.
    bytes
        What to open.
    """
    order = ORDERS.get(content[:4])
    if order is None:
        return None, content
    places: dict[int, tuple[int, str]] = {}
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHI", content, place)
            letter = {1: "B", 3: "H", 4: "I"}.get(kind)
            if letter is not None and number:
                fits = WIDTHS[kind] * number <= 4
                places[tag] = (place + 8 if fits else struct.unpack_from(f"{order}I", content, place + 8)[0], letter)
        told = {tag: struct.unpack_from(order + letter, content, at)[0] for tag, (at, letter) in places.items()}
    except struct.error:
        return None, content  # Pillow says what is wrong with it
    bits, signed = told.get(BITS, 1), told.get(FORMAT) == SIGNED
    inverted = (bits > 8 or signed) and told.get(PHOTOMETRIC) == WHITE_IS_ZERO
    if inverted:
        changed = bytearray(content)
        at, letter = places[PHOTOMETRIC]
        struct.pack_into(order + letter, changed, at, BLACK_IS_ZERO)
        content = bytes(changed)
    return Samples(bits, signed, inverted), content
