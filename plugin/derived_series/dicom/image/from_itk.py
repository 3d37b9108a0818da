"""SimpleITK images as PlacedImages; they are recognised without importing SimpleITK."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from derived_series.dicom.grid import Grid
from derived_series.dicom.image.placement import PlacedImage
from derived_series.errors import ShapeMismatch


def is_sitk(image: Any) -> bool:
    """Whether an object is a SimpleITK image; if so, SimpleITK is already imported."""
    sitk = sys.modules.get("SimpleITK")
    return sitk is not None and isinstance(image, sitk.Image)


def placed_image(image: Any) -> PlacedImage:
    """Convert a 3D or 4D SimpleITK image to an array with its grid; slices are flipped to ascend along the normal.

    :raises ShapeMismatch: the image has two dimensions, or several components in each voxel.
    """
    sitk = sys.modules["SimpleITK"]
    if image.GetDimension() not in (3, 4) or image.GetNumberOfComponentsPerPixel() != 1:
        raise ShapeMismatch(
            f"a SimpleITK image of {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} "
            "components a voxel has no place among slices",
            remedy="return a 3D or 4D image of one component, or its array (SimpleITK.GetArrayFromImage)",
        )
    array = sitk.GetArrayFromImage(image)
    dimensions = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(dimensions, dimensions)[:3, :3]
    axes = direction * np.array(image.GetSpacing())[:3]  # column, row, slice
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes[:, [2, 1, 0]], image.GetOrigin()[:3]
    if np.linalg.det(direction) < 0:
        array = np.flip(array, axis=-3)
        affine[:3, 3] += affine[:3, 0] * (array.shape[-3] - 1)
        affine[:3, 0] *= -1
    return PlacedImage(array, Grid.from_affine(affine, array.shape[-3:]))
