"""The types of files that a result may come in: how to recognise them, and which factory reads them."""

from __future__ import annotations

from dataclasses import dataclass

#: sizeof_hdr of NIfTI-1 and NIfTI-2: the first four bytes of the file, of either byte order.
_NIFTI_SIZES = (348, 540)


@dataclass(frozen=True, slots=True)
class FileType:
    """A type of file.

    :param name: what messages call it.
    :param suffix: the end of its names.
    :param starts: the possible first bytes of such a file.
    :param remedy: how to have it read.
    :param factory: the name of the factory that reads it; empty if there is none.
    :param lines_from: a file of this many bytes has a NUL or a line end; None if it may have neither.
    """

    name: str
    suffix: str
    starts: tuple[bytes, ...]
    remedy: str
    factory: str = ""
    lines_from: int | None = 0


_OF_KIND = "or that of the class of objects: ct, mr, pet, segmentation..."

NPY = FileType(".npy file", ".npy", (b"\x93NUMPY",), f"use the factory numpy, {_OF_KIND}", "numpy")
NIFTI = FileType(
    "NIfTI file",
    ".nii",
    tuple(size.to_bytes(4, order) for size in _NIFTI_SIZES for order in ("little", "big")),
    f"use the factory nifti, {_OF_KIND}",
    "nifti",
)
GZIP = FileType("compressed file (.gz)", ".nii.gz", (b"\x1f\x8b",), "use the factory nifti for a .nii.gz file", "nifti")
ZIP = FileType("archive (.zip, .npz)", ".zip", (b"PK\x03\x04",), "write one array with numpy.save")

#: The types of images, and those that are mistaken for images.
IMAGE_FILES = (NPY, NIFTI, GZIP, ZIP)
