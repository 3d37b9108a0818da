"""docs/pipelines.md: each block of Python is a file of a blueprint folder, and each pipeline of it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from building import LIBRARY, build, parent_of, written
from derived_series import BuildContext, ParentSeries, Segment, SegmentationFactory, segments
from derived_series.pipelines import Library
from derived_series.pipelines.run import Options, run_outputs
from derived_series.pipelines.workplace import Workplace
from phantoms import ct_phantom
from phantoms_4d import dti_phantom

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "pipelines.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.DOTALL | re.MULTILINE)


PYTHON = blocks("python")
CT = parent_of(ct_phantom(8, 12, 10))
PRIOR = parent_of(ct_phantom(8, 12, 10, study="prior", series="prior"))


def _mask() -> ParentSeries:
    described = segments(Segment(1, "Bone"))
    mask = (CT.voxels() > 0).astype(np.uint8)
    series = build(CT, mask, described, blueprint="segmentation", factory=SegmentationFactory())
    return ParentSeries.from_objects([series.encode(0)])


#: The series that the pipelines of the document are run on.
PARENTS: dict[str, Callable[[], dict[str, ParentSeries]]] = {
    "median": lambda: {"ct": CT},
    "change": lambda: {"now": CT, "before": PRIOR},
    "sitk_smoothing": lambda: {"ct": CT},
    "adc": lambda: {"dwi": parent_of(dti_phantom())},
    "middle": lambda: {"ct": CT},
    "bone": lambda: {"ct": CT},
    "segment_means": lambda: {"ct": CT, "mask": _mask()},
    "by_program": lambda: {"ct": CT},
}


def test_there_are_blocks_and_each_pipeline_has_its_series() -> None:
    names = {name for block in PYTHON for name in _names(block)}
    assert names == set(PARENTS) and len(PYTHON) == len(names)


def _names(block: str) -> list[str]:
    classes = re.findall(r"^class (\w+)\(Pipeline\)", block, re.MULTILINE)
    return [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() for name in classes]


@pytest.mark.parametrize("block", PYTHON, ids=[" ".join(_names(block)) for block in PYTHON])
def test_a_block_is_a_file_whose_pipelines_run(block: str, tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(block)
    loaded = Library.load([tmp_path])
    assert not loaded.problems, loaded.problems
    library = Library(LIBRARY.blueprints, loaded.pipelines, LIBRARY.factories, ())
    work = tmp_path / "work"
    work.mkdir()
    for name in loaded.pipelines:
        results = run_outputs(library, name, PARENTS[name](), {}, Options(), BuildContext(), Workplace(work))
        for series in results.series.values():
            assert written(series)
            assert not any("how the image was derived" in warning for warning in series.warnings)
        if name == "bone":
            assert set(results.series) == {"mask", "bone", "report"} and results.values["bone"].number > 0
        if name == "by_program":
            stored = [int(plane.max()) for plane in CT.stored()]
            assert [int(d.pixel_array.max()) for d in written(results.series["result"])] == stored


def test_the_answer_of_the_document_is_json() -> None:
    for block in blocks("json"):
        document: Any = json.loads(block)
        assert {"Output", "ID", "Path", "SeriesInstanceUID", "InstancesCount", "Warnings"} == set(document["Series"][0])
