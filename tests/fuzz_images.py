"""Damaged NIfTI and .npy files."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import nibabel as nib
import numpy as np

from building import parent_of
from derived_series import ParentSeries
from phantoms import ct_phantom

_FLOATS = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e300, -1.0, 1e-45, 3.4e38)
_BOMBS = (20, 200, 500)  # MB


@cache
def parent() -> ParentSeries:
    """The series that the damaged images are derived from."""
    return parent_of(ct_phantom(3, 12, 10))


@cache
def _nifti(kind: str, dtype: str) -> bytes:
    image = parent().to_nifti()
    nifti = {"1": nib.Nifti1Image, "2": nib.Nifti2Image}[kind](image.get_fdata().astype(dtype), image.affine)  # type: ignore[no-untyped-call]
    content: bytes = nifti.to_bytes()
    return content


def _fields(kind: str) -> dict[str, Any]:
    header = {"1": nib.Nifti1Header, "2": nib.Nifti2Header}[kind]
    fields: dict[str, Any] = dict(header.template_dtype.fields)  # type: ignore[arg-type]
    return fields


def _field(random: Random, content: bytearray, kind: str, name: str | None = None) -> None:
    """Damage a field of the header, in the file's own type or as plain bytes."""
    fields = _fields(kind)
    chosen = name or random.choice(sorted(fields))
    dtype, offset = fields[chosen][:2]
    if random.random() < 0.2 or dtype.base.kind == "S":
        content[offset : offset + dtype.itemsize] = random.randbytes(dtype.itemsize)
        return
    values = np.frombuffer(bytes(content[offset : offset + dtype.itemsize]), dtype.base).copy()
    for _ in range(random.choice((1, 1, values.size))):
        at = random.randrange(values.size)
        if dtype.base.kind == "f":
            with np.errstate(over="ignore"):
                values[at] = np.float64(random.choice(_FLOATS)).astype(dtype.base)
        else:
            limits = np.iinfo(dtype.base)
            odd = (
                0,
                1,
                2,
                3,
                5,
                8,
                12,
                13,
                16,
                64,
                128,
                256,
                1024,
                1536,
                2048,
                32767,
                1 << 20,
                limits.max,
                limits.min,
                -1,
                -3,
            )
            values[at] = min(max(random.choice(odd), limits.min), limits.max)
    content[offset : offset + dtype.itemsize] = values.tobytes()


_DECIDING = (
    "dim",
    "dim",
    "dim",
    "datatype",
    "bitpix",
    "vox_offset",
    "srow_x",
    "srow_y",
    "srow_z",
    "pixdim",
    "scl_slope",
    "scl_inter",
    "sform_code",
    "qform_code",
    "quatern_b",
    "qoffset_x",
    "magic",
    "sizeof_hdr",
    "xyzt_units",
)


def damaged_nifti(random: Random) -> tuple[str, str, bytes]:
    """(the damage, the file's suffix, its content)."""
    kind = random.choice("12")
    content = bytearray(_nifti(kind, random.choice(("i2", "f4", "u1", "f8", "i4"))))
    how = random.choice(
        ("field", "field", "field", "fields", "flip", "cut", "extension", "values", "zip", "noise", "bomb")
    )
    if how == "bomb":
        if random.random() < 0.8:  # bombs take their time
            how = "field"
        else:
            return "nifti bomb", ".nii.gz", _nifti_bomb(random, kind)
    if how == "field":
        _field(random, content, kind, random.choice(_DECIDING) if random.random() < 0.8 else None)
    elif how == "fields":
        for _ in range(random.choice((2, 3, 6))):
            _field(random, content, kind, random.choice(_DECIDING))
    elif how == "flip":
        for _ in range(random.choice((1, 4, 30))):
            content[random.randrange(min(len(content), 600))] ^= 1 << random.randrange(8)
    elif how == "cut":
        del content[random.randrange(len(content)) :]
    elif how == "extension":
        start = 348 if kind == "1" else 540
        sizes = struct.pack(
            "<ii", random.choice((0, 8, 15, 16, -16, 1 << 30, 0x7FFFFFFF)), random.choice((0, 4, 6, 99))
        )
        content[start : start + 4] = b"\1\0\0\0"
        content[start + 4 : start + 4] = sizes + random.randbytes(random.choice((0, 8, 24)))
    elif how == "values":
        content[600:] = random.choice(
            (b"\xff" * len(content[600:]), random.randbytes(len(content[600:])), b"\x7f\x80" * 500)
        )
    elif how == "noise":
        content[random.choice((0, 4, 348)) :] = random.randbytes(random.randrange(2000))
    packed = how == "zip" or random.random() < 0.4
    if not packed:
        return f"nifti {how}", ".nii", bytes(content)
    whole = gzip.compress(bytes(content), 1)
    if how == "zip":
        whole = _damaged_gzip(random, whole, bytes(content))
    return f"nifti.gz {how}", ".nii.gz", whole


def _damaged_gzip(random: Random, whole: bytes, content: bytes) -> bytes:
    damaged = bytearray(whole)
    how = random.randrange(5)
    if how == 0:
        del damaged[random.randrange(len(damaged)) :]
    elif how == 1:
        for _ in range(random.choice((1, 5, 50))):
            damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
    elif how == 2:
        damaged += random.choice((b"more", b"\0" * 50, whole))
    elif how == 3:
        return content
    else:
        return gzip.compress(whole)
    return bytes(damaged)


def _nifti_bomb(random: Random, kind: str) -> bytes:
    """Zeros that unpack to far more than the header says, or to what it says."""
    content = bytearray(_nifti(kind, "u1"))
    size = random.choice(_BOMBS) << 20
    if random.random() < 0.5:
        dtype, offset = _fields(kind)["dim"][:2]
        side = int((size) ** (1 / 3))
        content[offset : offset + dtype.itemsize] = np.array([3, side, side, side, 1, 1, 1, 1], dtype.base).tobytes()
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packer:
        packer.write(bytes(content))
        for _ in range(size >> 20):
            packer.write(bytes(1 << 20))
    return file.getvalue()


# Arrays.

_DESCRIPTIONS = (
    *(
        "'|O'",
        "'O'",
        "'<f8'",
        "'<i2'",
        "'>i2'",
        "'<f2'",
        "'<f16'",
        "'<c8'",
        "'<U5'",
        "'|S7'",
        "'|V9'",
        "'<M8[s]'",
        "'|b1'",
    ),
    *(
        "[('r', 'u1'), ('g', 'u1')]",
        "[('x', '<f8', (1000, 1000, 1000))]",
        "'<U100000000'",
        "'|V2147483647'",
        "''",
        "None",
    ),
    *(
        "'<i3'",
        "'\\u0000'",
        "b'<i2'",
        "('<i2', (3,))",
        "'(3,)<i2'",
        "'<i2,<i2'",
        "1",
        "[('a', '|O')]",
        "'<u8'",
        "'<i8'",
    ),
)
_SHAPES = (
    *("(3, 12, 10)", "(3, 12, 10, 2)", "(12, 10)", "()", "(0,)", "(3, 0, 10)", "(360,)", "(-3, 12, 10)", "(3, 12)"),
    *(
        "(1000000000000,)",
        "(9223372036854775807, 2)",
        "(4294967296, 4294967296)",
        "(3.0, 12, 10)",
        "('a',)",
        "None",
        "[3, 12, 10]",
    ),
    *(
        "(True, 12, 10)",
        "(1,)*3",
        "(" * 300 + ")" * 300,
        "(3, 12, 10" + "0" * 5000 + ")",
        "(1,) * 40",
        "(1, 1, 1, 1, 360)",
    ),
)


def _npy_header(text: str, version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    data = text.encode("latin1")
    form = "<H" if version == (1, 0) else "<I"
    claimed = len(data) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack(form, claimed % (1 << 8 * struct.calcsize(form))) + data


def _literal(random: Random) -> bytes:
    described = random.choice(_DESCRIPTIONS) if random.random() < 0.6 else "'<i2'"
    shape = random.choice(_SHAPES) if random.random() < 0.6 else "(3, 12, 10)"
    order = random.choice(("False", "False", "True", "1", "None", "'x'"))
    text = f"{{'descr': {described}, 'fortran_order': {order}, 'shape': {shape}, }}"
    odd = (text + "\n", text[:-3], text * 2, "{" * 200, "__import__('os').system('true')", "{}", "", "[" * 9000, "\0\0",
           text.replace("'shape'", "'shap'"), "{'descr': '<i2', 'descr': 1}", "-" * 5000 + "1", "'" * 4001)  # fmt: skip
    chosen = text + "\n" if random.random() < 0.75 else random.choice(odd)
    version = random.choice(((1, 0), (1, 0), (2, 0), (3, 0), (9, 9)))
    length = None if random.random() < 0.85 else random.choice((0, 1, 65535, 1 << 31, 10))
    return _npy_header(chosen, version, length) + random.randbytes(random.choice((720, 0, 719, 2880)))


def _saved(array: Any, **how: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


def _array(random: Random) -> bytes:
    """A valid .npy file with odd values or an odd type."""
    dtype = random.choice(
        ("?", "u1", "i1", "i2", ">i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", ">f4", "f8", "g", "c8")
    )
    values = np.frombuffer(random.randbytes(360 * 16), np.uint8)[: 360 * np.dtype(dtype).itemsize].copy().view(dtype)
    array = values.reshape(random.choice(((3, 12, 10),) * 4 + ((12, 10, 3), (3, 12, 5, 2), (1, 360), (360,))))
    if array.dtype.kind == "f" and random.random() < 0.7:
        array = np.full((3, 12, 10), random.choice(_FLOATS), dtype="f8")
        array[0, 0, :5] = [random.choice(_FLOATS) for _ in range(5)]
    return _saved(np.asfortranarray(array) if random.random() < 0.2 else array)


def _archive(random: Random) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", _saved(np.zeros((3, 12, 10))) if random.random() < 0.7 else bytes(50 << 20))
    return file.getvalue()[: random.choice((None, 100))]


def _objects(random: Random) -> bytes:
    return _saved(np.array([{"a": 1}, print, None], dtype=object), allow_pickle=True)


def _bytes(random: Random) -> bytes:
    content = bytearray(_saved(parent().voxels().astype(random.choice(("i2", "f4")))))
    how = random.randrange(4)
    if how == 0:
        return bytes(content[: random.randrange(len(content))])
    if how == 1:
        return random.choice(
            (b"", b"text", b"\x80\x04K\x01.", b"PK\x03\x04", random.randbytes(500), gzip.compress(bytes(content)))
        )
    for _ in range(random.choice((1, 3, 30))):
        content[random.randrange(min(len(content), 128 if how == 2 else 4000))] ^= 1 << random.randrange(8)
    return bytes(content)


_NPY: tuple[Callable[[Random], bytes], ...] = (
    _literal,
    _literal,
    _literal,
    _array,
    _array,
    _bytes,
    _bytes,
    _archive,
    _objects,
)


def damaged_npy(random: Random) -> tuple[str, str, bytes]:
    """(the damage, the file's suffix, its content)."""
    make = random.choice(_NPY)
    return f"npy {make.__name__.strip('_')}", ".npy", make(random)
