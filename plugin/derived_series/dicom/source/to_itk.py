"""Converting a parent series to a SimpleITK image, if SimpleITK is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from derived_series.dicom.grid import SAME_ANGLE_RADIANS, Grid
from derived_series.errors import GeometryError, UserCodeError


def sitk_image(voxels: npt.NDArray[Any], grid: Grid, time_step: float | None) -> Any:
    """Make an image with origin, spacing and direction in LPS mm, as in ITK.

    Several volumes become a 4D image whose fourth spacing is the time step in seconds, or 1 if unknown.

    :param voxels: (slice, row, column) or (time, slice, row, column).
    :raises GeometryError: the slices are uneven or sheared, which an ITK image cannot represent.
    """
    try:
        import SimpleITK as sitk
    except ImportError as error:
        raise UserCodeError("SimpleITK is not installed here", remedy="pip install SimpleITK") from error
    grid.require_regular("a SimpleITK image")
    if np.radians(grid.shear_degrees) > SAME_ANGLE_RADIANS:
        raise GeometryError(
            f"the slices are sheared by {grid.shear_degrees:.2f} degrees (gantry tilt), which a SimpleITK image cannot "
            "hold",
            remedy="resample the series to straight slices first, or use to_nifti()",
        )
    affine = grid.affine_lps
    axes = affine[:3, [2, 1, 0]]  # column, row, slice
    spacing = np.linalg.norm(axes, axis=0)
    several = voxels.ndim == 4
    dimensions = 4 if several else 3
    direction = np.eye(dimensions)
    direction[:3, :3] = axes / spacing
    image = sitk.GetImageFromArray(voxels, isVector=False)
    image.SetOrigin([*map(float, affine[:3, 3]), *[0.0] * several])
    image.SetSpacing([*map(float, spacing), *[time_step or 1.0] * several])
    image.SetDirection(direction.ravel().tolist())
    return image
