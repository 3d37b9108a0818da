"""Damaged DICOM series: phantoms with one to three defects that a seed chooses."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from multiframe import capture, dose, enhanced, mosaic, nuclear
from phantoms import compressed, ct_phantom, encode, mr_phantom, pet_phantom
from phantoms_4d import fmri_phantom

_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_UNDEFINED = 0xFFFFFFFF
_PIXELS = 0x7FE00010
_SYNTAXES = (None, None, None, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
             RLELossless, JPEGLSLossless, JPEG2000Lossless)  # fmt: skip

#: Tags with important values: geometry, pixels, identity, text, sequences.
_TAGS = (
    *(0x00080005, 0x00080008, 0x00080016, 0x00080018, 0x00080021, 0x00080060, 0x00100010, 0x00100020),
    *(0x00180050, 0x00180088, 0x0020000D, 0x0020000E, 0x00200011, 0x00200013, 0x00200032, 0x00200037, 0x00200052),
    *(0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280030, 0x00280100, 0x00280101),
    *(0x00280102, 0x00280103, 0x00281052, 0x00281053, _PIXELS),
)
_NUMBERS = (
    b"nan",
    b"inf",
    b"-inf",
    b"1e999",
    b"abc",
    b"",
    b" ",
    b"0",
    b"-1",
    b"1\\2",
    b"1e400\\0\\0",
    b"0\\0\\0\\0\\0\\0",
    b"1\\0\\0\\1\\0\\0",
    b"1e-300",
    b"1,5",
    b"0x10",
    b"\\\\",
    b"9" * 40,
    b"nan\\nan\\nan",
    b"1e308\\1e308\\1e308",
)
_TEXTS = (
    b"\xff\xfe\x80",
    b"\x1b$B;3ED",
    b"\x1b",
    b"\0\0\0\0",
    b"A" * 5000,
    b"\\\\\\\\",
    b"^^^^=====",
    b"../../etc",
    b"2.25.0001",
    b"1.2.3.",
    b".",
    b"99999999",
    b"20241332",
    "山田".encode(),
)
_CHARSETS = (
    b"FOO",
    b"ISO 2022 IR 87",
    b"\\ISO 2022 IR 87\\ISO 2022 IR 13",
    b"ISO_IR 192",
    b"ISO_IR 999",
    b"\\\\",
    b"GB18030",
)
_SHORTS = (0, 1, 2, 3, 7, 8, 9, 12, 16, 17, 24, 32, 33, 64, 255, 4096, 32767, 32768, 65535)

Element = tuple[int, bytes, bytes]


@dataclass(slots=True)
class File:
    """A Part 10 file in parts: the bytes before the dataset, and its elements in explicit VR little endian.

    :param packed: the dataset is deflated; :param zeros: MB of zeros in the last element.
    """

    head: bytes
    elements: list[Element]
    packed: bool = False
    zeros: int = 0

    def __bytes__(self) -> bytes:
        data = b"".join(map(_element, self.elements))
        if self.packed and self.elements[-1][1] == b"OW":  # the zeros are its value, else they are elements
            data = data[:-4] + struct.pack("<I", self.zeros << 20)
        return self.head + (_deflated(data, self.zeros) if self.packed else data)

    def set(self, tag: int, value: bytes, vr: bytes | None = None) -> None:
        """Set the element's value; a missing one is added."""
        for index, (known, kind, _) in enumerate(self.elements):
            if known == tag:
                self.elements[index] = (tag, vr or kind, value)
                return
        self.elements.append((tag, vr or b"UN", value))
        self.elements.sort(key=lambda element: element[0])


def _deflated(data: bytes, zeros: int) -> bytes:
    """Deflated data, followed by zeros. :param zeros: MB of them."""
    first, block, last = (zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS) for _ in range(3))
    start = first.compress(data) + first.flush(zlib.Z_FULL_FLUSH)  # what comes after it needs nothing before it
    return start + (block.compress(bytes(1 << 20)) + block.flush(zlib.Z_FULL_FLUSH)) * zeros + last.flush()


def _element(element: Element) -> bytes:
    tag, vr, value = element
    number = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if tag == _PIXELS and value[:4] == b"\xfe\xff\x00\xe0":  # encapsulated
        return number + vr + b"\0\0" + struct.pack("<I", _UNDEFINED) + value
    value += b"\0" * (len(value) % 2)
    if vr in _LONG:
        return number + vr + b"\0\0" + struct.pack("<I", len(value)) + value
    return number + vr + struct.pack("<H", len(value) & 0xFFFF) + value


def parsed(content: bytes) -> File:
    """A well-formed explicit VR little endian file."""
    start = 144 + struct.unpack_from("<I", content, 140)[0]
    at = start
    elements: list[Element] = []
    while at < len(content):
        group, number, vr = struct.unpack_from("<HH2s", content, at)
        if vr in _LONG:
            (length,) = struct.unpack_from("<I", content, at + 8)
            at += 12
        else:
            (length,) = struct.unpack_from("<H", content, at + 6)
            at += 8
        length = len(content) - at if length == _UNDEFINED else length
        elements.append((group << 16 | number, vr, content[at : at + length]))
        at += length
    return File(content[:start], elements)


#: Series with an instance for each slice, and with all other forms of slices: frames, tiles, volumes.
_PARENTS: dict[str, Callable[[int], list[Dataset]]] = {
    "ct": lambda side: ct_phantom(3, side, side),
    "mr": lambda side: mr_phantom(3, side, side),
    "pet": lambda side: pet_phantom(3, side, side),
    "enhanced ct": lambda side: [enhanced(ct_phantom(3, side, side))],
    "enhanced mr": lambda side: [enhanced(mr_phantom(3, side, side))],
    "enhanced pet": lambda side: [enhanced(pet_phantom(3, side, side))],
    "mosaic": lambda side: [mosaic(mr_phantom(4, side, side))],
    "nuclear": lambda side: [nuclear(pet_phantom(3, side, side), spacing=3.0)],
    "dose": lambda side: [dose(ct_phantom(3, side, side), [0, 2.5, 5.0])],
    "capture": lambda side: [capture(ct_phantom(3, side, side))],
    "4d": lambda side: fmri_phantom(2, 3, side, side),
}
_KINDS = ("ct", "ct", "mr", "pet", *_PARENTS)


@cache
def _whole(kind: str, syntax: str | None) -> tuple[bytes, ...]:
    side = 32 if syntax in (JPEG2000Lossless, JPEGLSLossless) else 12
    datasets = _PARENTS[kind](side)
    return tuple(encode(d) for d in (compressed(datasets, syntax) if syntax else datasets))


def _files(random: Random) -> list[File]:
    syntax = random.choice((None, None, RLELossless, JPEG2000Lossless))
    return [parsed(content) for content in _whole(random.choice(_KINDS), syntax)]


def _some(random: Random, files: list[File]) -> list[File]:
    return files if random.random() < 0.5 else [random.choice(files)]


# What is done to the elements.


def _numbers(random: Random, files: list[File]) -> None:
    texts = [e[0] for e in files[0].elements if e[1] in (b"DS", b"IS")]
    tag, value = random.choice(texts), random.choice(_NUMBERS)
    for file in _some(random, files):
        file.set(tag, value)


def _positions(random: Random, files: list[File]) -> None:
    tag = random.choice((0x00200032, 0x00200037, 0x00280030))
    count = {0x00200032: 3, 0x00200037: 6, 0x00280030: 2}[tag]
    odd = (b"0", b"nan", b"1e300", b"-1e300", b"1e-320", b"inf", b"-0", b"1", b"0.7071")
    for file in _some(random, files):
        file.set(tag, b"\\".join(random.choice(odd) for _ in range(count + random.choice((0, 0, 0, 1, -1)))))


def _texts(random: Random, files: list[File]) -> None:
    tag = random.choice([e[0] for e in files[0].elements if e[0] != _PIXELS])
    value = random.choice(_TEXTS)
    for file in _some(random, files):
        file.set(tag, value)


def _charset(random: Random, files: list[File]) -> None:
    value = random.choice(_CHARSETS)
    for file in _some(random, files):
        file.set(0x00080005, value, b"CS")
        file.set(0x00100010, random.choice(_TEXTS), b"PN")


def _shorts(random: Random, files: list[File]) -> None:
    tag = random.choice([e[0] for e in files[0].elements if e[1] == b"US"])
    value = b"".join(struct.pack("<H", random.choice(_SHORTS)) for _ in range(random.choice((1, 1, 1, 1, 0, 2))))
    for file in _some(random, files):
        file.set(tag, value)


def _huge(random: Random, files: list[File]) -> None:
    for file in _some(random, files):
        file.set(0x00280010, b"\xff\xff", b"US")
        file.set(0x00280011, b"\xff\xff", b"US")
        if random.random() < 0.3:
            file.set(0x00280100, struct.pack("<H", random.choice((16, 32, 64))), b"US")


def _frames(random: Random, files: list[File]) -> None:
    value = random.choice((b"2", b"0", b"-1", b"2147483647", b"1", b"1000000", b"x"))
    for file in _some(random, files):
        file.set(0x00280008, value, b"IS")
        if random.random() < 0.3:
            file.set(0x00080016, b"1.2.840.10008.5.1.4.1.1.2.1", b"UI")
            file.set(0x52009229, b"", b"SQ")


def _remove(random: Random, files: list[File]) -> None:
    tags = random.sample(_TAGS, random.choice((1, 1, 2, 5)))
    for file in _some(random, files):
        file.elements = [element for element in file.elements if element[0] not in tags]


def _repeat(random: Random, files: list[File]) -> None:
    for file in _some(random, files):
        element = random.choice(file.elements)
        file.elements.insert(random.randrange(len(file.elements)), element)


def _other_vr(random: Random, files: list[File]) -> None:
    for file in _some(random, files):
        index = random.randrange(len(file.elements))
        tag, _, value = file.elements[index]
        vrs = (
            b"UN",
            b"SQ",
            b"OB",
            b"LO",
            b"US",
            b"FD",
            b"AT",
            b"SS",
            b"DS",
            b"IS",
            b"PN",
            b"UI",
            b"XX",
            b"\0\0",
            b"UT",
        )
        file.elements[index] = (tag, random.choice(vrs), value)


def _deep(random: Random, files: list[File]) -> None:
    depth = random.choice((20, 200, 900, 3000, 20000))
    start = struct.pack("<HH2s2xI", 0x0008, 0x1140, b"SQ", _UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE000, _UNDEFINED)
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    value = (
        struct.pack("<HHI", 0xFFFE, 0xE000, _UNDEFINED)
        + start * depth
        + (end * depth if random.random() < 0.8 else b"")
    )
    tag = random.choice((0x00081140, 0x00082112, 0x00540016, 0x0018A001))
    for file in _some(random, files):
        file.set(tag, value + struct.pack("<HHI", 0xFFFE, 0xE00D, 0), b"SQ")


def _sequences(random: Random, files: list[File]) -> None:
    item = struct.pack("<HHI", 0xFFFE, 0xE000, random.choice((0, 8, 20, 0x7FFFFFFF, _UNDEFINED)))
    tag = random.choice((0x00283000, 0x00081140, 0x00540016, 0x0018A001, 0x00280106, 0x52009229, 0x00409096))
    value = random.choice((b"", item, item * 3, random.randbytes(40), item + random.randbytes(30)))
    for file in _some(random, files):
        file.set(tag, value, b"SQ")


def _inside(random: Random, files: list[File]) -> None:
    """Damage bytes inside a sequence, such as the functional groups of enhanced objects, or inside a private header."""
    for file in _some(random, files):
        large = [index for index, element in enumerate(file.elements) if element[0] != _PIXELS and len(element[2]) > 60]
        if not large:
            continue
        index = random.choice(large)
        tag, vr, value = file.elements[index]
        damaged = bytearray(value)
        if random.random() < 0.2:
            start = random.randrange(len(damaged))
            del damaged[start : start + random.choice((1, 8, 60))]
        else:
            for _ in range(random.choice((1, 3, 20))):
                damaged[random.randrange(len(damaged))] = random.choice(
                    (0, 1, 0x2D, 0x39, 0x5C, 0x7F, 0xFF, random.randrange(256))
                )
        file.elements[index] = (tag, vr, bytes(damaged))


def _lut(random: Random, files: list[File]) -> None:
    count, first, bits = (random.choice((0, 1, 256, 4096, 65535)) for _ in range(3))
    inner = _element((0x00283002, b"US", struct.pack("<HHH", count, first, bits % 33)))
    inner += _element((0x00283006, random.choice((b"US", b"OW")), random.randbytes(random.choice((0, 2, 512)))))
    for file in _some(random, files):
        file.set(0x00283000, struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner, b"SQ")


def _pixels(random: Random, files: list[File]) -> None:
    for file in _some(random, files):
        value = next((e[2] for e in file.elements if e[0] == _PIXELS), b"")
        cut = random.randrange(len(value) + 1)
        file.set(_PIXELS, random.choice((b"", value[:cut], value + value, random.randbytes(300), value[:1])))


def _fragments(random: Random, files: list[File]) -> None:
    """Damage offsets, lengths, delimiters or contents of encapsulated pixels (PS3.5 A.4)."""
    lengths = (0, 1, 4, 64, 0x7FFFFFFF, _UNDEFINED)
    item = struct.Struct("<HHI")
    for file in _some(random, files):
        value = bytearray(next((e[2] for e in file.elements if e[0] == _PIXELS), b"\0\0") * 2)
        how = random.randrange(6)
        if value[:4] != b"\xfe\xff\x00\xe0":
            value = bytearray(item.pack(0xFFFE, 0xE000, 0) + item.pack(0xFFFE, 0xE000, len(value)) + value)
            file.head = _with_syntax(file.head, random.choice((RLELossless, JPEG2000Lossless, JPEGLSLossless)))
        if how == 0 and len(value) > 16:
            struct.pack_into("<I", value, 12 if value[4:8] == b"\0\0\0\0" else 4, random.choice(lengths))
        elif how == 1:
            value = value[: random.randrange(8, len(value) + 1)]
        elif how == 2:
            value = bytearray(item.pack(0xFFFE, 0xE000, 8) + random.randbytes(8) + value[8:])
        elif how == 3:
            for _ in range(random.choice((1, 5, 40))):
                value[random.randrange(min(16, len(value) - 1), len(value))] ^= 1 << random.randrange(8)
        elif how == 4:
            value[16:60] = random.randbytes(44)
        else:
            value = value * 2
        file.set(_PIXELS, bytes(value), b"OB")


def _with_syntax(head: bytes, syntax: str) -> bytes:
    """Name another transfer syntax in the file meta information, with the right length."""
    at = head.index(b"\x02\x00\x10\x00UI")
    (length,) = struct.unpack_from("<H", head, at + 6)
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    changed = head[: at + 6] + struct.pack("<H", len(value)) + value + head[at + 8 + length :]
    return changed[:140] + struct.pack("<I", len(changed) - 144) + changed[144:]


def _syntax(random: Random, files: list[File]) -> None:
    names = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.50", "1.2.3",
             "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "",
             "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.1.98")  # fmt: skip
    name = random.choice(names)
    for file in _some(random, files):
        file.head = _with_syntax(file.head, name)


def _bomb(random: Random, files: list[File]) -> None:
    """Deflated zeros: 100 MB and more from 100 kB."""
    for file in _some(random, files)[:1]:
        file.head = _with_syntax(file.head, DeflatedExplicitVRLittleEndian)
        file.packed, file.zeros = True, random.choice((10, 100, 600))
        file.set(0x7FDF0010, b"", b"UN")
        file.elements = [element for element in file.elements if element[0] < _PIXELS]
        file.elements.append((_PIXELS, random.choice((b"OW", b"US")), b""))


def _mixed(random: Random, files: list[File]) -> None:
    other = [parsed(content) for content in _whole(random.choice(_KINDS), None)]
    files.append(random.choice((files[0], *other)))


DAMAGES: tuple[Callable[[Random, list[File]], None], ...] = (
    *(_numbers, _positions, _texts, _charset, _shorts, _huge, _frames, _remove, _repeat, _other_vr, _deep, _sequences),
    *(_inside, _inside),
    *(_lut, _pixels, _fragments, _syntax, _mixed),
)


# What is done to the bytes.


def _cut(random: Random, content: bytes) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _flip(random: Random, content: bytes) -> bytes:
    damaged = bytearray(content)
    end = len(damaged) if random.random() < 0.3 else min(len(damaged), 2600)
    for _ in range(random.choice((1, 3, 20, 200))):
        damaged[random.randrange(128 if random.random() < 0.9 else 0, end)] ^= 1 << random.randrange(8)
    return bytes(damaged)


def _lengths(random: Random, content: bytes) -> bytes:
    """Change two or four bytes of the header that hold a length."""
    damaged = bytearray(content)
    at = random.randrange(132, min(len(damaged) - 4, 2600))
    value = random.choice((_UNDEFINED, 0x7FFFFFFF, 0xFFFF, 0, 1, 3, random.getrandbits(32)))
    struct.pack_into("<I", damaged, at, value)
    return bytes(damaged)


def _noise(random: Random, content: bytes) -> bytes:
    start = content[: random.choice((0, 132, 140, 400))]
    return start + random.choice((b"", b"\0" * 500, random.randbytes(random.randrange(2000)), b"\xff" * 500))


def damaged_series(random: Random) -> tuple[str, list[bytes]]:
    """(the damage, the files)."""
    if random.random() < 0.02:
        files = _files(random)
        _bomb(random, files)
        return "dicom bomb", [bytes(file) for file in files]
    if random.random() < 0.65:
        files = _files(random)
        chosen = [random.choice(DAMAGES) for _ in range(random.choice((1, 1, 2, 3)))]
        for damage in chosen:
            damage(random, files)
        return "dicom " + chosen[0].__name__.strip("_"), [bytes(file) for file in files]
    parts = list(_whole(random.choice(_KINDS), random.choice(_SYNTAXES)))
    change = random.choice((_cut, _flip, _flip, _lengths, _lengths, _noise))
    for index in range(len(parts)) if random.random() < 0.3 else [random.randrange(len(parts))]:
        parts[index] = change(random, parts[index])
    return "dicom " + change.__name__.strip("_"), parts
