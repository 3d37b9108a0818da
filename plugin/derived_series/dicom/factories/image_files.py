"""What a file is, by its first bytes: so that one of another kind is named, in place of what a reader makes of it."""

from __future__ import annotations

from pathlib import Path

from derived_series.errors import InvalidImage

NPY, NIFTI, PDF, GZIP, ZIP = ".npy file", "NIfTI file", "PDF file", "compressed file (.gz)", "archive (.zip, .npz)"

_NIFTI_SIZES = (348, 540)  # sizeof_hdr of NIfTI-1 and NIfTI-2, the first four bytes of the file
_STARTS = ((b"\x93NUMPY", NPY), (b"%PDF-", PDF), (b"\x1f\x8b", GZIP), (b"PK\x03\x04", ZIP))

#: The factories that read a kind, by the names that they are chosen by.
_READERS = {
    NPY: "use the factory numpy, or that of the class of objects: ct, mr, pet, segmentation...",
    NIFTI: "use the factory nifti, or that of the class of objects: ct, mr, pet, segmentation...",
    GZIP: "use the factory nifti for a .nii.gz file",
    PDF: "use the factory pdf with the blueprint encapsulated_pdf",
    ZIP: "write one array with numpy.save",
}


def kind_of(start: bytes) -> str | None:
    """What a file is that begins so; None when that is not known."""
    for first, kind in _STARTS:
        if start.startswith(first):
            return kind
    if any(int.from_bytes(start[:4], order) in _NIFTI_SIZES for order in ("little", "big")):
        return NIFTI
    return None


def require(path: str | Path, *kinds: str, reader: str) -> None:
    """:param kinds: what is read; :param reader: the name of the factory that reads it.

    :raises InvalidImage: the file is of another kind that is known; it names that, and what reads it.
    """
    try:
        with Path(path).open("rb") as file:
            kind = kind_of(file.read(16))
    except OSError:  # the reader says why
        return
    if kind is not None and kind not in kinds:
        raise InvalidImage(f"the image is a {kind}, which the factory {reader} does not read", remedy=_READERS[kind])
