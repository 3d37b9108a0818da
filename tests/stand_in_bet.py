"""FSL's bet by its help text, `bet <input> <output> [options]`, with a threshold in place of its surface.

Of the options, -m writes the mask beside the brain, -n writes no brain, -f is the fractional intensity threshold. Names
have no suffix: FSLOUTPUTTYPE says what is written.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import nibabel as nib
import numpy as np


def brain_mask(values: Any, fraction: float) -> Any:
    """The voxels above a fraction of the largest value."""
    return values > fraction * values.max()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("-m", action="store_true")
    parser.add_argument("-n", action="store_true")
    parser.add_argument("-f", type=float, default=0.5)
    options = parser.parse_args()
    ending = {"NIFTI_GZ": ".nii.gz", "NIFTI": ".nii"}[os.environ["FSLOUTPUTTYPE"]]
    image: Any = nib.load(options.input)
    values = image.get_fdata(dtype=np.float32)
    mask = brain_mask(values, options.f)
    if not options.n:
        nib.Nifti1Image(values * mask, image.affine).to_filename(options.output + ending)
    if options.m:
        nib.Nifti1Image(mask.astype(np.uint8), image.affine).to_filename(f"{options.output}_mask{ending}")


if __name__ == "__main__":
    main()
