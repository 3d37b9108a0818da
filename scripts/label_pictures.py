"""Draws docs/overlay.png and docs/summary.png: what these blueprints make of labels on the sample series."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image
from scipy import ndimage

from derived_series import ParentSeries, Segment, picture, segments
from derived_series.dicom.factories.kinds import FACTORIES
from derived_series.pipelines import Library
from phantoms import ct_phantom

ROOT = Path(__file__).resolve().parent.parent
SEGMENTS = segments(
    Segment(1, "Skull", "Skull", color="#ff9830"),
    Segment(2, "Right lateral ventricle", "LateralVentricle", modifier="Right", color="#40a0ff"),
    Segment(3, "Left lateral ventricle", "LateralVentricle", modifier="Left", color="#30d070"),
    Segment(4, "Lesion", "Lesion", "MorphologicallyAbnormalStructure", color="#ff4040"),
    Segment(5, "Calcification", color="#ff40ff"),
)


def labels_of(parent: ParentSeries) -> npt.NDArray[np.uint8]:
    """The head's parts by their values in HU: (slice, row, column)."""
    voxels = ndimage.gaussian_filter(parent.voxels(), (0, 2, 2))
    labels = np.zeros(voxels.shape, np.uint8)
    skull = parent.voxels() > 600
    inner = np.stack([ndimage.binary_erosion(ndimage.binary_fill_holes(each) & ~each, iterations=6) for each in skull])
    left = np.indices(voxels.shape)[2] >= voxels.shape[2] // 2
    fluid = ndimage.binary_opening(inner & (voxels < 20), iterations=2)
    labels[skull] = 1
    labels[fluid & ~left] = 2
    labels[fluid & left] = 3
    labels[inner & (voxels > 55) & (voxels < 200)] = 4
    labels[inner & (voxels >= 200)] = 5
    return labels


def main() -> int:
    parent = ParentSeries.from_datasets(
        ct_phantom(40, 256, 256, spacing=4.0, pixel_spacing=(0.9, 0.9), patient_name="Sample^Head")
    )
    labels = labels_of(parent)
    library = Library.load([ROOT / "blueprints"])
    for name, fill in (("overlay", 0.25), ("summary", 0.35)):
        factory = FACTORIES["picture"]()
        blueprint: Any = library.blueprint(name).blueprint + SEGMENTS + picture(fill=fill, note=True)
        series = factory.build(factory.make_series_header(parent, blueprint), labels)
        dataset = pydicom.dcmread(io.BytesIO(series.encode(min(18, len(series) - 1))))
        Image.fromarray(dataset.pixel_array).save(ROOT / "docs" / f"{name}.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
