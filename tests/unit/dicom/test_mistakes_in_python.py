"""Mistakes in Python code are told where they are made; what can be meant in one way only is taken so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from building import LIBRARY, REPOSITORY, parent_of, ready, volume, written
from derived_series import (
    BuildContext,
    CopyElement,
    CopyOrElseElement,
    FillingStrategy,
    InstanceCopyElement,
    InstanceEnvironment,
    NumpyFactory,
    PositionCopyElement,
    StaticElement,
    dicom_factory,
)
from derived_series.dicom.series.interface import Series
from derived_series.errors import BlueprintError, InvalidImage, UserCodeError
from derived_series.pipelines import Input, Library, Pipeline
from derived_series.pipelines.library import NamedPipeline
from derived_series.pipelines.run import Options, run_blueprint, run_pipeline
from phantoms import ct_phantom

CT = parent_of(ct_phantom(3, 8, 8))


@pytest.mark.parametrize(
    "arguments",
    [
        (0x0008103E, "LO"),
        ("SeriesDescription", "LO"),
        ("PatientName", "PN"),
        ("BodyPartExamined", "CS"),
        (0x00091001, "LO"),
    ]
    + [("SeriesDescription", "SH"), ("SliceThickness", "DS"), ("SeriesDescription",), (0x0008103E,)],
)
def test_a_value_that_was_forgotten(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(BlueprintError, match="has no value"):
        StaticElement(*arguments)


def test_values_that_look_like_a_vr() -> None:
    assert StaticElement("Modality", "US").value == "US"
    assert StaticElement("RescaleType", "US").value == "US" and StaticElement("ModalityLUTType", "OD").value == "OD"
    assert StaticElement("SeriesDescription", "LO", "LO").value == "LO"
    assert StaticElement("SeriesDescription", value="LO").value == "LO"
    for empty in (StaticElement("SeriesDescription", None), StaticElement("SeriesDescription", "LO", None)):
        assert (empty.value, empty.VR) == (None, "LO")


def test_flags_are_given_by_name() -> None:
    with pytest.raises(TypeError, match="positional"):
        CopyElement("KVP", True)  # type: ignore[call-arg]
    with pytest.raises(BlueprintError, match="KVP.*True is not a VR.*Optional=True"):
        InstanceCopyElement("KVP", True)  # type: ignore[arg-type]
    assert InstanceCopyElement("KVP", "DS", Optional=True).Optional  # the tutorial's order: tag and VR
    for wrong in ("yes", 1, None):
        with pytest.raises(BlueprintError, match=f"Optional is {wrong!r}"):
            CopyElement("KVP", Optional=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [CopyOrElseElement, PositionCopyElement, StaticElement])
def test_truth_values_are_not_values(kind: Any) -> None:
    with pytest.raises(BlueprintError, match="KVP.*True is not a value"):
        kind("KVP", True)


@pytest.mark.parametrize("vr", ["XX", "lo", 5])
def test_a_vr_that_there_is_not(vr: Any) -> None:
    with pytest.raises(BlueprintError, match=f"{vr!r} is not a VR"):
        StaticElement("SeriesDescription", vr, "Smoothed")


def test_the_tutorials_spelling() -> None:
    assert FillingStrategy.Discard is FillingStrategy.DISCARD and FillingStrategy.Copy is FillingStrategy.COPY  # type: ignore[comparison-overlap]
    assert dicom_factory.InstanceVirtualEnvironment is InstanceEnvironment
    assert [strategy.value for strategy in FillingStrategy] == ["Discard", "Copy"]


def factory(body: str, tmp_path: Path) -> Library:
    """The ready blueprints, and a factory ``mine`` with this body."""
    source = "from derived_series import DicomFactory, NumpyFactory\n\nclass MineFactory(NumpyFactory):\n" + body
    (tmp_path / "mine.py").write_text(source)
    library = Library.load([REPOSITORY / "blueprints", tmp_path])
    assert not library.problems
    return library


def derive(library: Library, tmp_path: Path, **options: Any) -> Series:
    image = CT.voxels()
    image[0, 0, 0] = np.nan if "nan" in options else 1
    np.save(tmp_path / "image.npy", image)
    path = tmp_path / "image.npy"
    return run_blueprint(library, "ct", "mine", CT, path, Options(**options), BuildContext())


@pytest.mark.parametrize(
    "body",
    [
        "    def __init__(self):\n        super().__init__()\n",
        "    def __init__(self):\n        self.operator = 'Me'\n",
        "    def __init__(self, weight=3):\n        super().__init__(nan=0.0)\n",
        "    pass\n",
    ],
)
def test_a_factory_without_nan(body: str, tmp_path: Path) -> None:
    series = derive(factory(body, tmp_path), tmp_path, nan=7.0)
    assert volume(series)[0, 0, 0] == 7


def test_a_build_that_knows_no_options_works_until_they_are_asked_for(tmp_path: Path) -> None:
    library = factory("    def build(self, header, image):\n        return super().build(header, image)\n", tmp_path)
    assert volume(derive(library, tmp_path))[0, 0, 0] == 1


def test_a_class_that_reads_no_files_is_named(tmp_path: Path) -> None:
    library = factory("    read = DicomFactory.read\n", tmp_path)
    with pytest.raises(InvalidImage, match="(Mine|Dicom)Factory reads no files"):
        derive(library, tmp_path)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("    def __init__(self):\n        raise RuntimeError('no model')\n", "constructor of MineFactory.*no model"),
        ("    def __init__(self, weights):\n        pass\n", "constructor of MineFactory.*weights"),
        ("    def arrange(self, header, image):\n        return 1 / 0\n", "build of MineFactory.*ZeroDivisionError"),
        ("    @staticmethod\n    def read(path):\n        raise KeyError('x')\n", "read of MineFactory.*KeyError"),
        ("    def make_series_header(self, *a):\n        raise ValueError('x')\n", "make_series_header of MineFactory"),
        ("    def build(self, header, image):\n        return None\n", "build of MineFactory returned nothing"),
        ("    def build(self, header, image):\n        return 3\n", "build of MineFactory returned a int"),
        ("    def build_from_header(self, header, image):\n        return None\n", "build_from_header of MineFactory"),
        ("    def build_from_header(self, header, image):\n        return image\n", "build_from_header of MineFactory"),
        (
            "    def build_from_header(self, header, image):\n        yield 1 / 0\n",
            "build_from_header of MineFactory.*ZeroDivisionError",
        ),
    ],
)
def test_a_factory_that_raises_is_named(body: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(UserCodeError, match=text):
        derive(factory(body, tmp_path), tmp_path)


def test_a_named_factory_that_builds_its_datasets_itself(tmp_path: Path) -> None:
    body = (
        "    def build_from_header(self, header, image):\n"
        "        found = NumpyFactory().build_from_header(header, image)\n"
        "        for dataset in found:\n"
        "            dataset.ImageComments, dataset.PatientID = 'mine', 'OTHER'\n"
        "        return found\n"
    )
    series = derive(factory(body, tmp_path), tmp_path)
    assert {(d.ImageComments, d.PatientID) for d in written(series)} == {("mine", CT.pivot.PatientID)}


class Two(Pipeline):
    input = {"moving": Input, "fixed": Input}
    header_blueprint = ready("ct")

    def process(self, input_container: Any) -> Any:
        return input_container["moving"].voxels()


def run(pipeline: type[Pipeline], **parents: Any) -> Series:
    named = NamedPipeline("mine", pipeline, "", Path("mine.py"), "")
    return run_pipeline(
        Library(LIBRARY.blueprints, {"mine": named}, {}, ()), "mine", parents, {}, Options(), BuildContext()
    )


def test_several_inputs_without_parent_input() -> None:
    fixed = parent_of(ct_phantom(4, 8, 8, series="fixed"))
    series = run(Two, fixed=fixed, moving=CT)
    assert written(series)[0].ReferencedSeriesSequence[0].SeriesInstanceUID == CT.series_instance_uid
    assert any("no parent_input: the first one, 'moving', is the parent" in warning for warning in series.warnings)
    with_parent = type("Said", (Two,), {"parent_input": "moving"})
    assert not any("parent_input" in warning for warning in run(with_parent, fixed=fixed, moving=CT).warnings)


def test_constructors_that_raise_are_named() -> None:
    def fail(self: Any, *_: Any) -> None:
        raise RuntimeError("no model")

    text = "the constructor or prepare of pipeline 'mine' raised RuntimeError: no model"
    with pytest.raises(UserCodeError, match=text):
        run(type("Failing", (Two,), {"__init__": fail}), fixed=CT, moving=CT)
    inputs = {"moving": type("Bad", (Input,), {"__init__": fail}), "fixed": Input}
    with pytest.raises(UserCodeError, match="the constructor of input 'moving' of pipeline 'mine' raised"):
        run(type("Failing", (Two,), {"input": inputs}), fixed=CT, moving=CT)


def test_the_factorys_own_nan_stays() -> None:
    image = CT.voxels()
    image[0, 0, 0] = np.nan
    header = NumpyFactory().make_series_header(CT, ready("ct"))
    assert volume(NumpyFactory(nan=5.0).build(header, image))[0, 0, 0] == 5
