"""ParentsPixels: an image in the stored units of its parent instance, as whole numbers, displayed like the parent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.image.stored_pixels import require_encodable
from derived_series.dicom.source.pixels import PixelFormat
from derived_series.errors import Advice, Choice, PixelError
from derived_series.kinds.kind import SopClass

#: Fractions that span fewer whole numbers than this are taken to be in another unit than the parent's.
_FEWEST_STEPS = 8


@dataclass(frozen=True, slots=True, eq=False)
class ParentsPixels:
    """An image's frames in the parent's stored units.

    :param stored: (frame, row, column), or (frame, row, column, 3) in RGB; uint8, uint16 or int16.
    :param bits_stored: of each value; :param photometric: PhotometricInterpretation.
    :param slope: :param intercept: real = stored * slope + intercept.
    :param low: the smallest, :param high: the largest real value.
    """

    stored: npt.NDArray[Any]
    bits_stored: int
    photometric: str
    slope: float
    intercept: float
    low: float
    high: float
    is_mask: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Samples per pixel: 3 in colour."""
        return 3 if self.stored.ndim == 4 else 1


def parents_pixels(image: npt.NDArray[Any], parent: Dataset, row: SopClass, nan: float | None) -> ParentsPixels:
    """Convert frames to the parent's stored units: its rescale, its MONOCHROME1, and its bits if they suffice.

    :param image: (frame, row, column) of real-world values, or (frame, row, column, 3) of uint8 in RGB.
    :param nan: what NaN and Inf are replaced by; None refuses them.
    :raises PixelError: the values cannot be stored so: NaN, negative, too large, or fractions in another unit.
    """
    require_encodable(image.dtype)
    if image.ndim == 4:
        return ParentsPixels(image, 8, "RGB", 1.0, 0.0, float(image.min()), float(image.max()))
    values, is_mask = _finite(image, nan), image.dtype.kind == "b"
    pixel_format = PixelFormat.of(parent)
    grey = str(parent.get("PhotometricInterpretation", "")).startswith("MONOCHROME")
    rescaled = grey and not pixel_format.has_modality_lut and not row.pixels.rescale_always
    slope, intercept = (pixel_format.slope, pixel_format.intercept) if rescaled else (1.0, 0.0)
    low, high = float(values.min()), float(values.max())
    real = values if (slope, intercept) == (1.0, 0.0) else (values.astype(np.float64) - intercept) / slope
    if values.dtype.kind == "f" and not is_mask:
        _require_steps(real, low, high, row)
    whole = real if real.dtype.kind in "iu" else np.rint(real)
    signed = pixel_format.dtype.startswith("<i") and grey and 16 in row.pixels.bits
    dtype, bits, warnings = _type_of(whole, pixel_format.bits_stored if grey else 8, signed, parent, row)
    return ParentsPixels(
        stored=whole.astype(dtype),
        bits_stored=bits,
        photometric="MONOCHROME1" if parent.get("PhotometricInterpretation") == "MONOCHROME1" else "MONOCHROME2",
        slope=slope,
        intercept=intercept,
        low=low,
        high=high,
        is_mask=is_mask,
        warnings=warnings,
    )


def _finite(image: npt.NDArray[Any], nan: float | None) -> npt.NDArray[Any]:
    """Replace NaN and Inf. :raises PixelError: there are some, and ``nan`` is None."""
    if image.dtype.kind == "b":
        return image.view(np.uint8)
    if image.dtype.kind != "f" or np.all(np.isfinite(image)):
        return image
    if nan is None or not math.isfinite(nan):
        raise PixelError(
            "the image holds NaN or Inf",
            remedy="replace them in the image, or choose what they are replaced by, such as NumpyFactory(nan=0)",
            advice=Advice(Choice.NAN),
        )
    return np.where(np.isfinite(image), image, nan)


def _require_steps(stored: npt.NDArray[Any], low: float, high: float, row: SopClass) -> None:
    """Refuse fractions that rounding would nearly wipe out. :raises PixelError: they span too few whole numbers."""
    steps = float(np.ptp(stored))
    if steps < _FEWEST_STEPS and not np.all(np.rint(stored) == stored):
        raise PixelError(
            f"the values reach from {low:g} to {high:g} with fractions: as {row.called}, in whole numbers of the "
            "parent's unit, next to nothing of them would be left",
            remedy="scale them to the parent's values, or use the blueprint secondary_capture, which has a rescale",
        )


def _type_of(
    stored: npt.NDArray[Any], bits: int, signed: bool, parent: Dataset, row: SopClass
) -> tuple[np.dtype[Any], int, tuple[str, ...]]:
    """Choose (dtype, BitsStored, warnings): the parent's if the values fit. :raises PixelError: nothing fits."""
    low, high = int(stored.min()), int(stored.max())
    most = max(row.pixels.bits)
    if low < 0 and not signed:
        raise PixelError(
            f"the values begin at {low}, and {row.called} of this class has no negative ones (PixelRepresentation 0)",
            remedy="clip them, numpy.clip(image, 0, None), or add what makes the lowest one 0",
        )
    larger = [each for each in row.pixels.bits if each > bits or bits > most]
    for allowed in (*([bits] if bits <= most else []), *larger):
        limits = (-(1 << allowed - 1), (1 << allowed - 1) - 1) if signed else (0, (1 << allowed) - 1)
        if limits[0] <= low and high <= limits[1]:
            kind = "<i" if signed else "<u"
            warnings = () if allowed <= bits else (
                f"the values reach to {high}, beyond the {bits} bits of instance {parent.get('SOPInstanceUID')}: "
                f"{allowed} bits are stored",
            )  # fmt: skip
            return np.dtype(f"{kind}{1 if allowed <= 8 and not signed else 2}"), allowed, warnings
    raise PixelError(
        f"the values reach from {low} to {high}, and {row.called} of this class has {most} bits",
        remedy="scale them to the parent's values, or use the blueprint secondary_capture",
    )
