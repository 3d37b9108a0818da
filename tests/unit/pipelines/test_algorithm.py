"""The algorithm of a pipeline: named in its series, and what the result depends on beside the pipeline's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from building import LIBRARY, parent_of, ready, written
from dciodvfy import new_errors
from derived_series import BuildContext, Segment, segments
from derived_series.errors import BlueprintError
from derived_series.jobs.work.catalogue import pipeline_json
from derived_series.pipelines import Algorithm, Library, Output, Pipeline
from derived_series.pipelines.library import NamedPipeline
from derived_series.pipelines.run import Options, run_outputs
from phantoms import ct_phantom

DATASETS = ct_phantom(4, 6, 5)
CT = parent_of(DATASETS)
NET = Algorithm("Net of ours", "2.4.0", "Our clinic", uid="2.25.77")


class Named(Pipeline):
    """A mask and an image."""

    algorithm = NET
    outputs = {
        "mask": Output(ready("segmentation")),
        "described": Output(ready("segmentation") + segments(Segment(1, "By hand", algorithm="MANUAL"))),
        "image": Output(ready("ct")),
    }

    def process(self, container):  # type: ignore[no-untyped-def]
        voxels = container["parent"].voxels()
        return {"mask": voxels > 0, "described": voxels > 0, "image": voxels}


def test_the_algorithm_is_named_in_the_series() -> None:
    library = Library(
        LIBRARY.blueprints, {"mine": NamedPipeline("mine", Named, "", Path("mine.py"), "")}, LIBRARY.factories, ()
    )
    results = run_outputs(library, "mine", {"parent": CT}, {}, Options(), BuildContext()).series
    for series in results.values():
        algorithm, ours = written(series)[0].ContributingEquipmentSequence
        assert algorithm.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Processing Algorithm"
        assert (algorithm.Manufacturer, algorithm.ManufacturerModelName) == ("Our clinic", "Net of ours")
        assert (algorithm.SoftwareVersions, algorithm.DeviceUID) == ("2.4.0", "2.25.77")
        assert ours.ManufacturerModelName == "derived_series"
        assert new_errors(series.encode(0), DATASETS) == []
    (mask,) = written(results["mask"])[0].SegmentSequence
    (item,) = mask.SegmentationAlgorithmIdentificationSequence
    assert mask.SegmentAlgorithmName == item.AlgorithmName == "Net of ours"
    assert (item.AlgorithmVersion, item.AlgorithmSource) == ("2.4.0", "Our clinic")
    assert item.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    (manual,) = written(results["described"])[0].SegmentSequence
    assert "SegmentationAlgorithmIdentificationSequence" not in manual


@pytest.mark.parametrize("name", ["", "x" * 65, "a\\b"])
def test_an_algorithm_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(BlueprintError, match="the name of the algorithm"):
        Algorithm(name, "1", "maker")


FILE = '''
from _help import FACTOR
from derived_series.pipelines import Algorithm, Pipeline

class Scaled(Pipeline):
    """Scaled."""
    algorithm = Algorithm("Net", "{version}", "maker", files=["weights.bin"])
    factor = FACTOR
'''


def _write(folder: Path, version: str = "1", weights: str = "w", helper: str = "FACTOR = 1\n") -> None:
    (folder / "scaled.py").write_text(FILE.format(version=version))
    (folder / "_help.py").write_text(helper)
    (folder / "weights.bin").write_text(weights)
    (folder / "other.py").write_text('"""Another file of the folder."""\n')


def code(folder: Path) -> str:
    library = Library.load([folder])
    assert not library.problems, library.problems
    return str(pipeline_json(library.pipelines["scaled"])["Code"])


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda folder: _write(folder, version="2"), True),
        (lambda folder: _write(folder, weights="others"), True),
        (lambda folder: _write(folder, helper="FACTOR = 2\n"), True),
        (lambda folder: (folder / "other.py").write_text('"""Changed."""\n'), False),
    ],
    ids=["version", "weights", "helper", "another pipeline's file"],
)
def test_the_code_of_a_pipeline_changes_with_all_that_it_goes_by(
    tmp_path: Path, change: Callable[[Path], object], differs: bool
) -> None:
    _write(tmp_path)
    before = code(tmp_path)
    assert before == code(tmp_path)
    change(tmp_path)
    assert (code(tmp_path) != before) == differs


def test_weights_that_are_not_there_are_a_problem_of_the_file(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "weights.bin").unlink()
    (problem,) = Library.load([tmp_path]).problems
    assert "weights.bin is not there" in problem.message


def test_a_file_alone_is_its_own_hash() -> None:
    named = LIBRARY.pipelines["gaussian_smoothing"]
    assert pipeline_json(named)["Code"] == named.sha256 and named.code.to_json() == {}
