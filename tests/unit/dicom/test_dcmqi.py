"""Segmentations as dcmqi reads them: labels, names, colours and places."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from building import build, parent_of
from derived_series import ParentSeries, Segment, segments
from phantoms import ct_phantom
from readers import reader

LIVER = Segment(1, "Liver", "Liver", color="#b5651d")
KIDNEY = Segment(7, "Kidney", "Kidney", modifier="Left", color="#00ff00")


def read(dataset: bytes, folder: Path, parent: ParentSeries) -> tuple[npt.NDArray[Any], dict[int, dict[str, Any]]]:
    """The labels on the parent's grid, and the segments by label."""
    file, out = folder / "seg.dcm", folder / "out"
    file.write_bytes(dataset)
    out.mkdir()
    command = [reader("segimage2itkimage"), "--inputDICOM", file, "--outputDirectory", out, "-t", "nii"]
    subprocess.run([*map(str, command), "--mergeSegments"], check=True, capture_output=True, timeout=120)
    (path,) = out.glob("*.nii.gz")
    image: Any = nib.load(path)
    values = np.asarray(image.dataobj)
    there = np.argwhere(values)
    to_parent = np.linalg.inv(parent.affine_ras) @ image.affine
    places = there @ to_parent[:3, :3].T + to_parent[:3, 3]
    assert np.abs(places - np.rint(places)).max() < 1e-3
    labels = np.zeros(parent.shape, values.dtype)
    labels[tuple(np.rint(places).astype(int).T)] = values[tuple(there.T)]
    described = json.loads((out / "meta.json").read_text())["segmentAttributes"]
    return labels, {item["labelID"]: item for group in described for item in group}


@pytest.mark.readers
@pytest.mark.parametrize("orientation", ["axial", "oblique"])
@pytest.mark.parametrize(
    ("blueprint", "syntax", "second"),
    [
        ("segmentation", "ExplicitVRLittleEndian", 2),  # its segments are numbered without gaps
        ("label_map_segmentation", "ExplicitVRLittleEndian", 7),
        ("label_map_segmentation", "RLELossless", 7),
    ],
)
def test_dcmqi_reads_labels_and_names(
    blueprint: str, syntax: str, second: int, orientation: str, tmp_path: Path
) -> None:
    parent = parent_of(ct_phantom(8, 32, 24, orientation=orientation))
    image = np.zeros(parent.shape, np.uint8)
    image[1:6, 4:20, 5:15], image[3:, 22:30, 3:9] = 1, 7
    series = build(parent, image, segments(LIVER, KIDNEY), blueprint=blueprint).written_in(syntax)
    labels, described = read(bytes(series.encode(0)), tmp_path, parent)
    assert np.array_equal(labels, np.where(image == 7, second, image))
    for number, label, color in ((1, "Liver", (181, 101, 29)), (second, "Kidney", (0, 255, 0))):
        assert described[number]["SegmentLabel"] == label
        assert np.abs(np.subtract(described[number]["recommendedDisplayRGBValue"], color)).max() <= 1
    modifier = described[second]["SegmentedPropertyTypeModifierCodeSequence"]
    assert modifier["CodeMeaning"] == "Left"
