"""Several outputs of one run: their headers, UIDs, numbers and descriptions, and what process may return."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from building import LIBRARY, parent_of, ready, volume, written
from derived_series import Blueprint, BuildContext, StaticElement, derivation
from derived_series.dicom.image.resampling import Resampling
from derived_series.errors import BlueprintError, InvalidRequest, PixelError, UserCodeError
from derived_series.identifiers import MOST_OUTPUTS, series_uid_of, series_uids_of
from derived_series.pipelines import Input, Library, NumpyGrinder, Output, Pipeline, Value
from derived_series.pipelines.library import NamedPipeline
from derived_series.pipelines.output import checked_outputs
from derived_series.pipelines.run import Options, Results, extra_blueprint, run_outputs, run_pipeline
from derived_series.pipelines.workplace import Workplace
from phantoms import ct_phantom

CT = parent_of(ct_phantom(4, 6, 5))
SMOOTHED = ready("ct") + derivation("Doubled", "PixelByPixelMultiplication")


class Voxels(Input):
    image_grinder = NumpyGrinder()


class Three(Pipeline):
    """A mask, a map that may be missing, and a CT."""

    input = {"ct": Voxels}
    outputs = {
        "mask": Output("segmentation"),
        "map": Output(ready("parametric_map"), optional=True),
        "double": Output(),
    }

    def blueprint_for(self, parent: Any, parameters: Any, blueprints: Any, output: str = "") -> Blueprint:
        assert output == "double"
        return SMOOTHED  # type: ignore[no-any-return]

    def process(self, input_container: Any) -> Any:
        voxels = input_container["ct"]
        return {"mask": (voxels > 0).astype(np.uint8), "double": voxels * 2, "values": {"ml": Value(1.5, "ml"), "n": 3}}


def library_of(pipeline: type[Pipeline]) -> Library:
    return Library(
        LIBRARY.blueprints,
        {"mine": NamedPipeline("mine", pipeline, "", Path("mine.py"), "")},
        LIBRARY.factories,
        (),
    )


def run(pipeline: type[Pipeline], options: Options | None = None, context: BuildContext | None = None) -> Results:
    return run_outputs(
        library_of(pipeline), "mine", {"ct": CT}, {}, options or Options(), context or BuildContext(uid_seed="job")
    )


def returning(result: Any) -> type[Pipeline]:
    return type("Returning", (Three,), {"process": lambda self, container: result})


def test_outputs_by_name_and_values_with_units() -> None:
    results = run(Three)
    assert list(results.series) == ["mask", "double"]  # the optional one was left out
    assert [written(series)[0].Modality for series in results.series.values()] == ["SEG", "CT"]
    assert np.array_equal(volume(results.series["double"]), CT.voxels() * 2)
    assert results.values == {"ml": Value(1.5, "ml"), "n": Value(3)}
    assert results.values["ml"].to_json() == {"Value": 1.5, "Unit": "ml"}


def test_uids_follow_from_the_job_and_the_place_of_the_output() -> None:
    first, again = run(Three), run(Three)
    uids = {name: series.series_instance_uid for name, series in first.series.items()}
    assert uids == {"mask": series_uid_of("job"), "double": series_uid_of("job", 2)}
    assert uids == {name: series.series_instance_uid for name, series in again.series.items()}
    assert set(uids.values()) < set(series_uids_of("job")) and len(set(series_uids_of("job"))) == MOST_OUTPUTS
    instances = [series.instance_uid(k) for series in first.series.values() for k in range(len(series))]
    assert len(set(instances)) == len(instances) == 5
    assert len({written(series)[0].StudyInstanceUID for series in first.series.values()}) == 1


def test_siblings_have_numbers_and_descriptions_of_their_own() -> None:
    for context in (BuildContext(), BuildContext(reserved_series_number=7)):
        datasets = [written(series)[0] for series in run(Three, context=context).series.values()]
        assert len({int(dataset.SeriesNumber) for dataset in datasets}) == 2
        assert [dataset.SeriesDescription.split(" ")[-1] for dataset in datasets] == ["(mask)", "(double)"]
    asked = run(Three, Options(extra=extra_blueprint(series_description="x" * 64)))
    texts = [written(series)[0].SeriesDescription for series in asked.series.values()]
    assert [len(text) for text in texts] == [64, 64] and texts[0].endswith("x (mask)")


def test_a_header_is_there_before_its_output_and_can_be_referred_to() -> None:
    seen = {}

    class Referring(Three):
        def process(self, input_container: Any) -> Any:
            seen.update({name: header.instance_uid() for name, header in input_container.headers.items()})
            assert input_container.header is input_container.headers["mask"]
            return super().process(input_container)

    results = run(Referring)
    assert {name: series.instance_uid(0) for name, series in results.series.items()} == {
        name: uid for name, uid in seen.items() if name != "map"
    }
    assert written(results.series["mask"])[0].SOPInstanceUID == seen["mask"]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (np.zeros((4, 6, 5)), "returned a ndarray, but it has the outputs mask, map, double"),
        ({"mask": np.zeros((4, 6, 5), np.uint8)}, "without double; its outputs are mask, map, double"),
        ({"mask": None, "double": None, "liver": 1}, "without mask, double and with liver"),
        ({"mask": 1, "double": 2, "values": 3}, "values that are a int"),
        ({"mask": 1, "double": 2, "values": {"a": float("nan")}}, "nan as the value 'a'"),
        ({"mask": 1, "double": 2, "values": {"a": "12"}}, "'12' as the value 'a'"),
        ({"mask": 1, "double": 2, "values": {"a": Value(1, "cc")}}, "'cc' is not a UCUM code"),
    ],
)
def test_results_that_are_not_what_the_outputs_say(result: Any, text: str) -> None:
    with pytest.raises(UserCodeError, match=text):
        run(returning(result))


def test_an_image_that_an_output_cannot_be_made_of_is_refused_by_the_outputs_name() -> None:
    half = np.full(CT.shape, 0.5, np.float32)
    with pytest.raises(PixelError, match="^output 'mask': a segmentation is made from a label map"):
        run(returning({"mask": half, "double": half}))


def test_the_one_output_of_the_tutorial_may_have_values_beside_it() -> None:
    class One(Pipeline):
        input = {"ct": Voxels}
        header_blueprint = SMOOTHED

        def process(self, input_container: Any) -> Any:
            return {"result": input_container["ct"], "values": {"mean": np.float32(2)}}

    results = run(One)
    assert results.values == {"mean": Value(2.0)}
    assert results.series["result"].series_instance_uid == series_uid_of("job")
    assert "(result)" not in written(results.series["result"])[0].SeriesDescription
    assert np.array_equal(
        volume(run_pipeline(library_of(One), "mine", {"ct": CT}, {}, Options(), BuildContext())), CT.voxels()
    )
    with pytest.raises(InvalidRequest, match=r"makes several series \(mask, double\)"):
        run_pipeline(library_of(Three), "mine", {"ct": CT}, {}, Options(), BuildContext())


def test_what_a_request_says_of_one_kind_goes_to_the_outputs_of_this_kind() -> None:
    described = extra_blueprint(described=[{"Number": 1, "Label": "Bone", "Type": "Bone"}])
    results = run(Three, Options(extra=described))
    assert written(results.series["mask"])[0].SegmentSequence[0].SegmentLabel == "Bone"
    assert "SegmentSequence" not in written(results.series["double"])[0]

    class Without(Three):
        outputs = {"a": Output(SMOOTHED), "b": Output(SMOOTHED)}

    with pytest.raises(InvalidRequest, match='"Segments" is for the blueprint segmentation'):
        run(Without, Options(extra=described))


def test_files_are_read_by_the_outputs_factory(tmp_path: Path) -> None:
    affine = CT.to_nifti().affine
    nib.save(nib.Nifti1Image((CT.voxels() > 0).astype(np.uint8).transpose(2, 1, 0), affine), tmp_path / "mask.nii.gz")
    np.save(tmp_path / "double.npy", CT.voxels() * 2)
    results = run(returning({"mask": tmp_path / "mask.nii.gz", "double": tmp_path / "double.npy"}))
    assert np.array_equal(volume(results.series["double"]), CT.voxels() * 2)
    assert written(results.series["mask"])[0].NumberOfFrames == written(run(Three).series["mask"])[0].NumberOfFrames


def test_an_image_is_resampled_and_a_finished_sibling_stays_as_it_is() -> None:
    class Finished(Three):
        def process(self, input_container: Any) -> Any:
            header = input_container.headers["double"]
            return {
                **super().process(input_container),
                "double": [d for d in header.env.factory.build(header, CT.voxels())],
            }

    results = run(Finished, Options(resampling=Resampling()))
    assert list(results.series) == ["mask", "double"]


def test_the_folder_is_the_one_for_temporary_files_while_it_runs(tmp_path: Path) -> None:
    heard: list[object] = []

    class Working(Three):
        def process(self, input_container: Any) -> Any:
            import os
            import tempfile

            assert input_container.folder == tmp_path and tempfile.gettempdir() == os.environ["TMPDIR"] == str(tmp_path)
            input_container.progress(0.4, "fold 2 of 5")
            input_container.log("half of it")
            return super().process(input_container)

    place = Workplace(tmp_path, lambda part, text: heard.append((part, text)), heard.append)
    run_outputs(library_of(Working), "mine", {"ct": CT}, {}, Options(), BuildContext(), place)
    assert heard == [(0.4, "fold 2 of 5"), "half of it"]
    import tempfile

    assert tempfile.gettempdir() != str(tmp_path)


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"values": Output()}, "an output named 'values'"),
        ({"a/b": Output()}, "an output named 'a/b'"),
        ({"a": SMOOTHED}, "output 'a' of Mine is a Blueprint"),
        ({"a": Output(factory=type(Output().factory))}, "factory of output 'a'"),  # type: ignore[arg-type]
        ({f"a{k}": Output() for k in range(MOST_OUTPUTS + 1)}, "has 33 outputs; at most 32 are allowed"),
    ],
)
def test_outputs_that_cannot_be(outputs: Any, text: str) -> None:
    with pytest.raises(BlueprintError, match=text):
        checked_outputs("Mine", outputs)


def test_a_blueprints_own_description_stays() -> None:
    class Named(Three):
        outputs = {
            "a": Output(SMOOTHED + Blueprint([StaticElement("SeriesDescription", "LO", "Mine")])),
            "b": Output(SMOOTHED),
        }

    results = run(type("N", (Named,), {"process": lambda self, c: {"a": c["ct"], "b": c["ct"]}}))
    assert written(results.series["a"])[0].SeriesDescription == "Mine"
