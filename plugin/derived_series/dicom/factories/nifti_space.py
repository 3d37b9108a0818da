"""What a NIfTI header says about its image's space and axes (nifti1.h: xform codes, dim, intent codes)."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np

from derived_series.dicom.image.overlap import box_of_affine
from derived_series.errors import ShapeMismatch

#: xform codes of the patient's own space, with any origin.
_PATIENT = {1: "the scanner's coordinates", 2: "coordinates aligned to another image"}
#: xform codes of template spaces.
_TEMPLATES = {3: "Talairach coordinates", 4: "MNI 152 coordinates", 5: "the coordinates of another template"}
#: Intent codes for several numbers in each voxel: matrices, vectors, quaternions, points, colours, and FSL's warps and
#: fields.
_SEVERAL = frozenset({1004, 1005, 1006, 1007, 1008, 1009, 1010, 2003, 2004, *range(2006, 2010), *range(2016, 2019)})
#: How far sform and qform may differ, in mm or as a part of the smallest voxel: a quaternion has single precision.
_APART_MM, _APART_PART = 0.1, 0.1
#: The bits of xyzt_units that are of the fourth axis, and their values that are not times.
_TIME_UNITS = 0x38
_SPECTRA = {32: "Hz", 40: "ppm", 48: "rad/s"}


def says_where(image: Any) -> bool:
    """Whether an image's header says where the image is; other formats than NIfTI do if they have an affine.

    That of a file of Analyze 7.5 is nibabel's guess, from the voxel sizes and with the origin in the middle.
    """
    if image.affine is None:
        return False
    if type(image) is nib.AnalyzeImage:
        return not np.array_equal(image.affine, image.header.get_best_affine())
    return not (isinstance(image, nib.Nifti1Pair) and image.header["sform_code"] == image.header["qform_code"] == 0)


def template_of(image: Any) -> str:
    """The name of the space of an image's affine if it is not the patient's; else empty."""
    if not isinstance(image, nib.Nifti1Pair):
        return ""
    name, code = _taken(image)
    if code == 0 or code in _PATIENT:
        return ""
    return f"{_TEMPLATES.get(code, 'coordinates that are not known')} ({name}_code {code})"


def two_places(image: Any) -> tuple[str, ...]:
    """A warning if sform and qform disagree about the image's place or space."""
    if not isinstance(image, nib.Nifti1Pair):
        return ()
    sform, qform = (int(image.header[f"{name}_code"]) for name in ("sform", "qform"))
    if sform <= 0 or qform <= 0:
        return ()
    shape = (*image.shape, 1, 1)[:3]
    scale = _scale(image)
    first, second = (
        box_of_affine(np.asarray(affine, dtype=np.float64), shape) * scale
        for affine in (image.get_sform(), image.get_qform())
    )
    apart = float(np.linalg.norm(first - second, axis=1).max())
    voxel = float(np.min(np.linalg.norm(image.affine[:3, :3], axis=0))) * scale
    if apart > max(_APART_MM, _APART_PART * voxel):
        return (f"sform and qform of the NIfTI image are up to {apart:.2f} mm apart: the sform was taken",)
    if sform in _PATIENT and qform not in _PATIENT:
        space = _TEMPLATES.get(qform, "coordinates that are not known")
        return (f"qform_code of the NIfTI image is {qform} ({space}), sform_code {sform}: the sform was taken",)
    return ()


def require_scalars(image: Any) -> None:
    """Require one number in each voxel. :raises ShapeMismatch: there are several."""
    shape = image.shape
    intent = int(image.header["intent_code"]) if isinstance(image, nib.Nifti1Pair) else 0
    fifth, unit = max(shape[4:], default=1) > 1, _unit_of_spectrum(image)
    if fifth or ((intent in _SEVERAL or unit) and max(shape[3:], default=1) > 1):
        why = "its fifth dimension is not of length 1" if fifth else f"its fourth axis is in {unit}, not in seconds"
        why = f"its intent code is {intent}" if intent in _SEVERAL else why
        raise ShapeMismatch(
            f"the NIfTI image has the shape {shape}, several numbers a voxel such as vectors or spectra ({why}): "
            "a derived series is made from 3D, or 4D with a time axis",
            remedy="give one component, or the vectors' length, as an image of its own",
        )


def _unit_of_spectrum(image: Any) -> str:
    """The unit of a fourth axis that is not time; empty where it is, or where the header does not say."""
    code = int(image.header["xyzt_units"]) & _TIME_UNITS if isinstance(image, nib.Nifti1Pair) else 0
    return _SPECTRA.get(code, "")


def _taken(image: Any) -> tuple[str, int]:
    """The form that nibabel's affine comes from (sform or qform), and its code."""
    sform = int(image.header["sform_code"])
    return ("sform", sform) if sform > 0 else ("qform", int(image.header["qform_code"]))


def _scale(image: Any) -> float:
    """The length of the header's unit in mm."""
    try:
        unit = image.header.get_xyzt_units()[0]
    except KeyError:  # reported when the affine is read
        return 1.0
    return {"meter": 1000.0, "micron": 0.001}.get(unit, 1.0)
