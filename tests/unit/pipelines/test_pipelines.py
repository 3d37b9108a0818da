"""Pipelines: inputs, parameters, results, and what goes wrong in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field
from pydicom.dataset import Dataset

from building import LIBRARY, build, parent_of, ready, volume, written
from derived_series import (
    Blueprint,
    BuildContext,
    DerivedSeries,
    FillingStrategy,
    NiftiFactory,
    NumpyFactory,
    StaticElement,
    derivation,
)
from derived_series.errors import (
    BlueprintError,
    Conflict,
    HeaderError,
    InvalidImage,
    InvalidParent,
    InvalidRequest,
    PixelError,
    ShapeMismatch,
    UserCodeError,
)
from derived_series.pipelines import Input, Library, NiftiGrinder, NumpyGrinder, Output, Parameters, Pipeline
from derived_series.pipelines.library import NamedPipeline
from derived_series.pipelines.run import Options, extra_blueprint, run_blueprint, run_pipeline
from phantoms import ct_phantom, mr_phantom, pet_phantom

CT, MR, PET = (parent_of(p(4, 6, 5)) for p in (ct_phantom, mr_phantom, pet_phantom))


def run(pipeline: str | type[Pipeline], parents: Any, parameters: Any = None, options: Options | None = None) -> Any:
    library = LIBRARY
    if not isinstance(pipeline, str):
        named = NamedPipeline("mine", pipeline, "", Path("mine.py"), "")
        library = Library(LIBRARY.blueprints, {"mine": named}, LIBRARY.factories, ())
        pipeline = "mine"
    parents = parents if isinstance(parents, dict) else {"parent": parents}
    return run_pipeline(library, pipeline, parents, parameters or {}, options or Options(), BuildContext())


class CTArray(Input):
    image_grinder = NumpyGrinder()
    required_values = {"Modality": "CT"}


class MRNifti(Input):
    image_grinder = NiftiGrinder()
    required_values = {"Modality": "MR"}


class Two(Pipeline):
    """Two inputs."""

    input = {"ct": CTArray, "mr": MRNifti}
    parent_input = "ct"
    header_blueprint = ready("ct")

    def process(self, input_container: Any) -> Any:
        assert input_container["mr"].shape == (5, 6, 4)
        assert list(input_container) == ["ct", "mr"] and len(input_container) == 2
        return input_container["ct"] + 1


def test_two_inputs() -> None:
    series = run(Two, {"ct": CT, "mr": MR})
    assert np.array_equal(volume(series), CT.voxels() + 1)
    assert written(series)[0].SourceImageSequence[0].ReferencedSOPInstanceUID == CT.pivot.SOPInstanceUID
    for inputs in ({"ct": CT}, {"ct": CT, "pet": PET}, {"ct": CT, "mr": MR, "pet": PET}):
        with pytest.raises(InvalidRequest, match="has the inputs ct, mr; given are ct"):
            run(Two, inputs)
    with pytest.raises(InvalidParent, match="input 'mr'.*is 'PT', wanted 'MR'"):
        run(Two, {"ct": CT, "mr": PET})


@pytest.mark.parametrize(
    ("other", "text"),
    [({"patient_id": "SOMEONE"}, "PatientIDs.*ct: 'PHANTOM-1', mr: 'SOMEONE'"), ({"study": "2"}, "StudyInstanceUIDs")],
)
def test_mixed_patients_and_studies_are_refused(other: dict[str, str], text: str) -> None:
    with pytest.raises(Conflict, match=text) as error:
        run(Two, {"ct": CT, "mr": parent_of(mr_phantom(4, 6, 5, **other))})  # type: ignore[arg-type]
    assert error.value.http_status == 409


class Mine(Pipeline):
    input = {"ct": CTArray}
    header_blueprint = ready("ct")
    result: Any = None

    def process(self, input_container: Any) -> Any:
        return type(self).result


@pytest.mark.parametrize(
    ("result", "kind", "text"),
    [
        (None, UserCodeError, "returned nothing"),
        (np.zeros((4, 6, 6)), ShapeMismatch, r"\(4, 6, 6\), the parent series' is \(4, 6, 5\)"),
        (np.full((4, 6, 5), np.nan), PixelError, "NaN or Inf"),
        ("text", InvalidImage, "not an array, but of the type str"),
        ([Dataset()], HeaderError, "SOPClassUID"),
    ],
)
def test_results_that_are_not_images(result: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        run(type("Bad", (Mine,), {"result": result}), CT)


def test_results_of_all_kinds() -> None:
    image = CT.voxels()
    assert np.array_equal(volume(run(type("A", (Mine,), {"result": image}), CT)), image)
    series = build(CT)
    returned = run(type("B", (Mine,), {"result": series}), CT)
    assert [bytes(returned.encode(i)) for i in range(4)] == [bytes(series.encode(i)) for i in range(4)]
    nifti = type("C", (Mine,), {"result": CT.to_nifti(), "dicom_factory": NiftiFactory()})
    assert np.array_equal(volume(run(nifti, CT)), image)
    datasets = run(type("D", (Mine,), {"result": list(series), "header_blueprint": None}), CT)
    assert not isinstance(datasets, DerivedSeries) and len(datasets) == 4
    with pytest.raises(UserCodeError, match="names no header_blueprint"):
        run(type("E", (Mine,), {"result": image, "header_blueprint": None}), CT)


@pytest.mark.parametrize("where", ["process", "blueprint_for"])
def test_exceptions_of_user_code_carry_their_message_and_cause(where: str) -> None:
    def fail(self: Any, *_: Any) -> Any:
        raise RuntimeError("the model is missing")

    with pytest.raises(
        UserCodeError, match=f"{where} of pipeline 'mine' raised RuntimeError: the model is missing"
    ) as e:
        run(type("Failing", (Mine,), {where: fail}), CT)
    assert isinstance(e.value.__cause__, RuntimeError) and e.value.http_status == 500

    def refuse(self: Any, *_: Any) -> Any:
        raise InvalidParent("too few slices")

    with pytest.raises(InvalidParent, match="too few slices"):
        run(type("Refusing", (Mine,), {where: refuse}), CT)


def test_every_instance_must_have_what_the_input_requires() -> None:
    datasets = ct_phantom(4, 6, 5)
    del datasets[2].KVP
    datasets[3].ConvolutionKernel = "other"
    parent = parent_of(datasets)
    for requirement, text in (
        ({"required_tags": ["KVP"]}, r"KVP \(0018,0060\) is missing"),
        ({"required_values": {"ConvolutionKernel": "H31s"}}, "is 'other', wanted 'H31s'"),
    ):
        strict = type("Strict", (Input,), requirement)
        with pytest.raises(InvalidParent, match=text):
            run(type("A", (Mine,), {"input": {"ct": strict}}), parent)


def test_an_output_with_a_blueprint_that_there_is_not_is_named() -> None:
    with pytest.raises(BlueprintError, match=r"output 'a' of pipeline 'mine': there is no blueprint 'segmentaton'"):
        run(type("A", (Mine,), {"outputs": {"a": Output("segmentaton"), "b": Output("ct")}}), CT)


def test_a_header_in_a_notebook_is_a_line_and_names_no_patient() -> None:
    text = repr(NumpyFactory().make_series_header(CT, ready("ct")))
    assert str(CT.pivot.PatientName) not in text and len(text) < 200 and "tags are settled" in text


def test_inputs_that_are_not_complete() -> None:
    class Whole(Input):
        def validate(self) -> bool:
            return self.images == 100

    with pytest.raises(InvalidParent, match="input 'ct'.*does not take") as caught:
        run(type("Strict", (Mine,), {"input": {"ct": Whole}}), CT)
    with pytest.raises(InvalidParent, match="input 'pet'.*does not take the series: Modality") as other:
        run("suv_body_weight", CT)
    for error in (caught.value, other.value):
        assert error.remedy and CT.series_instance_uid not in error.message, "who asked has named it otherwise"


def test_parameters_are_typed_and_frozen() -> None:
    class Settings(Parameters):
        Offset: int = Field(default=5)

    class Shifted(Mine):
        parameters = Settings

        def process(self, input_container: Any) -> Any:
            with pytest.raises(ValueError, match="frozen"):
                input_container.parameters.Offset = 1
            return input_container["ct"] + input_container.parameters.Offset

    assert np.array_equal(volume(run(Shifted, CT)), CT.voxels() + 5)
    assert np.array_equal(volume(run(Shifted, CT, {"Offset": "7"})), CT.voxels() + 7)


def test_options_of_a_request() -> None:
    extra = extra_blueprint({"StudyDescription": "no", "0020,4000": "c", "WindowCenter": "9"}, "Mine", "GaussianBlur")
    series = run(type("A", (Mine,), {"result": CT.voxels()}), CT, None, Options(FillingStrategy.COPY, extra))
    (first, *_) = written(series)
    assert (first.ImageComments, first.SeriesDescription, first.WindowCenter) == ("c", "Mine", 9)
    assert first.DerivationCodeSequence[0].CodeMeaning == "Gaussian blur"
    assert first.StudyDescription == "Head"  # the study's own
    holes = np.where(CT.voxels() > 0, CT.voxels(), np.nan)
    assert volume(run(type("B", (Mine,), {"result": holes}), CT, None, Options(nan=-7))).min() == -7


@pytest.mark.parametrize(
    ("replace", "text"),
    [({"Nonsense": 1}, "'Nonsense' is not a DICOM tag"), ({"StudyDate": "today"}, "StudyDate.*'today' is not a value")]
    + [({"DerivationCodeSequence": "x"}, "its value is a list of objects"), ({"0009,1001": "x"}, "has no VR")]
    + [({"00100010x": "x"}, "is not a DICOM tag"), ({"DerivationCodeSequence": [{"Nonsense": 1}]}, "'Nonsense'")],
)  # fmt: skip
def test_bad_replacements_are_named(replace: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        extra_blueprint(replace)


def test_derivations_are_of_the_context_group() -> None:
    for name in ("GaussianBlur", "113088"):
        assert extra_blueprint(None, None, name)["DerivationCodeSequence"].describe() == "1 item(s)"
    with pytest.raises(InvalidRequest, match="not a derivation of CID 7203.*GaussianBlur"):
        extra_blueprint(None, None, "Magic")
    with pytest.raises(BlueprintError, match="not a derivation of CID 7203"):
        derivation("x", "Magic")


def test_a_named_blueprint_and_factory(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", CT.voxels().astype(np.int16))
    for image in (None, tmp_path / "image.npy"):
        series = run_blueprint(LIBRARY, "ct", "numpy", CT, image, Options(), BuildContext())
        assert np.array_equal(volume(series), CT.voxels())
    assert np.array_equal(
        volume(run_blueprint(LIBRARY, "ct", "nifti", CT, None, Options(), BuildContext())), CT.voxels()
    )
    extra = Blueprint([StaticElement("ImageComments", "x")])
    series = run_blueprint(LIBRARY, "ct", "numpy", CT, None, Options(extra=extra), BuildContext())
    assert written(series)[0].ImageComments == "x"
