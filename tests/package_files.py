"""Real DICOM files in packages that are installed anyway: pydicom's and nibabel's test files.

They replace series of one's own in a fresh clone, without downloads.
"""

from __future__ import annotations

from pathlib import Path

import nibabel
from pydicom.data import get_testdata_file

#: pydicom's files, and nibabel's files with vendors' private headers.
_PYDICOM = Path(str(get_testdata_file("CT_small.dcm", download=False))).parent
_NIBABEL = Path(nibabel.__file__).parent / "nicom" / "tests" / "data"
_DIRECTORY = "dicomdirtests/98892003"

_SERIES: dict[str, tuple[Path, tuple[str, ...]]] = {
    "ct ge 5 slices": (_PYDICOM, ("dicomdirtests/98892001/CT5N/*",)),
    "ct ge uneven": (_PYDICOM, ("dicomdirtests/77654033/CT2/*",)),
    "ct localizers": (_PYDICOM, ("dicomdirtests/98892001/CT2N/*",)),
    "mr seven orientations": (_PYDICOM, (f"{_DIRECTORY}/MR700/*",)),
    "ct ge": (_PYDICOM, ("CT_small.dcm",)),
    "ct jpeg 2000": (_PYDICOM, ("693_J2KI.dcm",)),
    "ct signed jpeg 2000": (_PYDICOM, ("J2K_pixelrep_mismatch.dcm",)),
    "mr": (_PYDICOM, ("MR_small.dcm",)),
    "mr rle": (_PYDICOM, ("MR_small_RLE.dcm",)),
    "mr jpeg-ls": (_PYDICOM, ("MR_small_jpeg_ls_lossless.dcm",)),
    "mr jpeg 2000": (_PYDICOM, ("MR_small_jp2klossless.dcm",)),
    "mr big endian": (_PYDICOM, ("MR_small_bigendian.dcm",)),
    "mr implicit": (_PYDICOM, ("MR_small_implicit.dcm",)),
    "mr overlay": (_PYDICOM, ("examples_overlay.dcm",)),
    "mr cut short": (_PYDICOM, ("MR_truncated.dcm",)),
    "mr siemens mosaic": (_NIBABEL, ("csa_slice_norm.dcm",)),
    "dose 15 frames": (_PYDICOM, ("rtdose.dcm",)),
    "dose 15 frames rle": (_PYDICOM, ("rtdose_rle.dcm",)),
    "radiograph": (_PYDICOM, ("dicomdirtests/77654033/CR1/*",)),
    "ultrasound palette": (_PYDICOM, ("examples_palette.dcm",)),
    "ultrasound 30 frames": (_PYDICOM, ("examples_ybr_color.dcm",)),
    "report": (_PYDICOM, ("reportsi.dcm",)),
}


def package_series(name: str) -> list[Path]:
    """The files of a series, by the name that tests give it."""
    folder, patterns = _SERIES[name]
    files = sorted(path for pattern in patterns for path in folder.glob(pattern))
    assert files, f"{name}: no file of {patterns} is in {folder}"
    return files


def package_names() -> list[str]:
    """The names of all series."""
    return list(_SERIES)
