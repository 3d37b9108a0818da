"""TotalSegmentator with thresholds in place of its networks; it reads and writes like the real one.

As a script it has the options that the recipe uses. `--published` uses the package's own command line.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np

#: Names and numbers of the package's task "total", and the ranges of HU for them: from, and below.
STRUCTURES: dict[str, tuple[int, float, float]] = {
    "liver": (5, 0.0, 100.0),
    "lung_upper_lobe_left": (10, -2000.0, -500.0),
    "skull": (91, 300.0, 5000.0),
}


def segment(source: Path, target: Path, is_multilabel: bool) -> None:
    """Write one label map, or without --ml a folder with a mask for each structure."""
    image: Any = nib.load(source)
    values = image.get_fdata()
    masks = {name: (values >= low) & (values < high) for name, (_, low, high) in STRUCTURES.items()}
    if not is_multilabel:
        target.mkdir(parents=True, exist_ok=True)
        for name, mask in masks.items():
            nib.Nifti1Image(mask.astype(np.uint8), image.affine).to_filename(target / f"{name}.nii.gz")
        return
    labels = np.zeros(values.shape, np.uint8)
    for name, mask in masks.items():
        labels[mask] = STRUCTURES[name][0]
    result = nib.Nifti1Image(labels, image.affine)
    if "totalsegmentator" in sys.modules:  # the names of the labels are in an extension of the header
        from totalsegmentator.map_to_binary import class_map
        from totalsegmentator.nifti_ext_header import save_multilabel_nifti

        assert {number: name for name, (number, _, _) in STRUCTURES.items()}.items() <= class_map["total"].items()
        save_multilabel_nifti(result, target, class_map["total"])
    else:
        result.to_filename(target)


def published() -> None:
    """The package's own command line, with our function behind it."""
    import totalsegmentator

    def segmenting(source: Path, target: Path, ml: bool, *others: object, **options: object) -> None:
        segment(source, target, ml)

    api: Any = ModuleType("totalsegmentator.python_api")  # the real one imports torch
    api.totalsegmentator = segmenting
    api.validate_device_type_api = str
    totalsegmentator.python_api = sys.modules[api.__name__] = api
    from totalsegmentator.bin.TotalSegmentator import main

    main()


def main() -> None:
    if sys.argv[1:2] == ["--published"]:
        del sys.argv[1]
        published()
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", type=Path, required=True)
    parser.add_argument("-o", type=Path, required=True)
    parser.add_argument("--ml", action="store_true")
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    segment(options.i, options.o, options.ml)


if __name__ == "__main__":
    main()
