"""Draws docs/parent-and-derived.png: a slice of the sample parent and of a series derived from it."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

from derived_series import BuildContext, ParentSeries
from derived_series.pipelines import Library
from derived_series.pipelines.run import Options, run_pipeline
from phantoms import ct_phantom

ROOT = Path(__file__).resolve().parent.parent
WINDOW = {"vmin": -150, "vmax": 350, "cmap": "gray"}


def main() -> int:
    matplotlib.use("agg")
    parent = ParentSeries.from_datasets(
        ct_phantom(40, 256, 256, spacing=4.0, pixel_spacing=(0.9, 0.9), patient_name="Sample^Head")
    )
    library = Library.load([ROOT / "blueprints"])
    series = run_pipeline(
        library, "gaussian_smoothing", {"image": parent}, {"SigmaMm": 2.0}, Options(), BuildContext().seeded()
    )
    derived = ParentSeries.from_datasets(series)
    middle = len(parent) // 2
    figure, axes = plt.subplots(1, 2, figsize=(8, 4.6), facecolor="black")
    for axis, source in zip(axes, (parent, derived), strict=True):
        axis.imshow(source.voxels()[middle], **WINDOW)
        header = source.instances[middle]
        kind = "\\".join(header.ImageType)
        title = f"{header.SeriesNumber}  {header.SeriesDescription}\n{kind}"
        axis.set_title(title, color="white", fontsize=9)
        axis.axis("off")
    figure.tight_layout(pad=1.5)
    figure.savefig(ROOT / "docs" / "parent-and-derived.png", dpi=90)
    return 0


if __name__ == "__main__":
    sys.exit(main())
