"""Prints a digest of every ready blueprint's series over the phantoms, made with fixed UIDs and times.

A redesign must leave the bytes as they are: run it before and after, and compare the lines.

    PYTHONPATH=plugin:tests python scripts/output_digests.py > before.txt
"""

from __future__ import annotations

import hashlib
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from building import LIBRARY
from derived_series import BuildContext, FillingStrategy, ParentSeries
from derived_series.errors import DerivedSeriesError
from derived_series.pipelines.run import Options, run_blueprint
from multiframe import enhanced, mosaic
from phantoms import ct_phantom, encode, mr_phantom, pet_phantom
from phantoms_4d import dti_phantom, fmri_phantom

CONTEXT = BuildContext(now=datetime(2024, 5, 6, 7, 8, 9), uid_seed="digests")


def parents() -> dict[str, ParentSeries]:
    """One parent of each kind that is read in its own way."""
    series = {
        "ct": ct_phantom(4, 12, 10),
        "mr axial": mr_phantom(4, 12, 10, orientation="axial"),
        "mr coronal": mr_phantom(4, 12, 10, orientation="coronal"),
        "pet": pet_phantom(4, 12, 12),
        "fmri": fmri_phantom(3, 4, 8, 6),
        "dti": dti_phantom(),
        "enhanced mr": [enhanced(mr_phantom(4, 12, 10, orientation="sagittal"))],
        "mosaic": [mosaic(mr_phantom(4, 12, 12, orientation="axial"))],
    }
    return {name: ParentSeries.from_bytes([encode(one) for one in datasets]) for name, datasets in series.items()}


def images(parent: ParentSeries) -> dict[str, npt.NDArray[np.generic] | None]:
    """The images to derive from: the parent's own values, floats, and labels."""
    values = parent.voxels()
    labels = np.zeros(parent.shape[-3:], np.uint8)
    labels[1:, 2:5, 2:5] = 1
    labels[2:, 6:8, 3:6] = 4
    return {"own": None, "floats": (values * 0.37).astype(np.float32), "labels": labels}


def digest(parent: ParentSeries, blueprint: str, image: Path | None, strategy: FillingStrategy) -> str:
    """The digest of all files and warnings, or the refusal."""
    try:
        options = Options(strategy=strategy)
        series = run_blueprint(LIBRARY, blueprint, "numpy", parent, image, options, CONTEXT)
    except DerivedSeriesError as error:
        return f"refused: {type(error).__name__}: {' '.join(str(error).split())[:90]}"
    files = hashlib.sha256()
    for index in range(len(series)):
        files.update(bytes(series.encode(index)))
    return f"{len(series)} instances {files.hexdigest()[:24]} {len(series.warnings)} warnings"


def main(folder: Path) -> None:
    """Print a line for each parent, blueprint, image and filling strategy."""
    for name, parent in parents().items():
        for kind, image in images(parent).items():
            path = None if image is None else folder / "image.npy"
            if image is not None and path is not None:
                np.save(path, image)
            for blueprint in sorted(LIBRARY.blueprints):
                for strategy in FillingStrategy:
                    print(
                        f"{name} | {blueprint} | {kind} | {strategy.name}: {digest(parent, blueprint, path, strategy)}"
                    )


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch))
    sys.exit()
