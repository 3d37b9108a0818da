"""For each kind of object a parent and an image to make one from: small phantoms."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from derived_series import ParentSeries
from phantoms import ct_phantom, mr_phantom, pet_phantom
from phantoms_projection import angiogram, digital_x_ray, mammograms, radiograph, ultrasound

#: Kinds of projection and ultrasound, whose images are the parent's.
PROJECTION = ("cr", "dx", "mg", "us", "xa")


def phantom_for(name: str, slices: int = 3, rows: int = 8, columns: int = 8, **options: Any) -> list[Dataset]:
    """A parent for the kind with this blueprint; for projections, as many images or frames as slices.

    :param options: of the phantoms of volumes.
    """
    size = (rows, columns)
    if name == "cr":
        return radiograph(*size, images=slices)
    if name == "dx":
        return digital_x_ray(*size, images=slices)
    if name == "mg":
        return mammograms(*size, views=slices)
    if name == "us":
        return ultrasound(*size, frames=slices, colour=False)
    if name == "xa":
        return angiogram(*size, frames=slices)
    volume = pet_phantom if "pet" in name else mr_phantom if "mr" in name else ct_phantom
    return volume(slices, rows, columns, **options)


def image_for(name: str, parent: ParentSeries) -> Any:
    """The parent's own values for images of its kind, ones for all others."""
    if name in ("ct", "mr", "pet", *PROJECTION):
        return parent.voxels()
    return np.ones(parent.shape, np.uint8)
