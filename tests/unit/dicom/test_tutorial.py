"""The steps of dicomnode's tutorial "Create a dicom series", with its imports changed and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

import derived_series
from derived_series import dicom_factory
from derived_series.dicom_factory import (  # type: ignore[attr-defined]
    Blueprint,
    CopyElement,
    DicomFactory,
    FillingStrategy,
    FunctionalElement,
    NumpyFactory,
    SeriesHeader,
    SOP_common_blueprint,
    StaticElement,
    general_series_blueprint,
)
from derived_series.pipelines import AbstractInput, AbstractPipeline, InputContainer, Library
from derived_series.pipelines.run import Options, run_pipeline
from phantoms import ct_phantom

NAMES = """AttributeElement Blueprint CopyElement DicomFactory DiscardElement FillingStrategy FunctionalElement
InstanceCopyElement InstanceVirtualElement InstanceVirtualEnvironment
NiftiFactory NumpyFactory SeriesElement SeriesHeader SOP_common_blueprint
StaticElement VirtualElement""".split()


@pytest.mark.parametrize("name", NAMES)
def test_the_names_of_the_tutorial(name: str) -> None:
    assert getattr(dicom_factory, name) is getattr(derived_series, name)


def example() -> Blueprint:
    return Blueprint(
        [
            StaticElement(0x0008103E, "LO", "Blueprint Example"),
            CopyElement(0x00100010),
        ]
    )


def test_a_blueprint_and_its_arithmetic() -> None:
    my_blueprint = example()
    new_blueprint = my_blueprint + SOP_common_blueprint
    assert set(new_blueprint) == {*my_blueprint, *SOP_common_blueprint}
    assert 0x0008103E in new_blueprint and 0x00080018 in new_blueprint
    assert new_blueprint == SOP_common_blueprint + my_blueprint  # no tag in both: the order does not show
    other = Blueprint([StaticElement(0x0008103E, "LO", "Other")])
    assert my_blueprint + other != other + my_blueprint  # the second one's tags are dominant
    assert (my_blueprint + other)[0x0008103E].value == "Other"  # type: ignore[attr-defined]


def test_overwriting_a_tag_like_a_dictionary() -> None:
    new_blueprint = example() + SOP_common_blueprint
    new_blueprint[0x00080016] = StaticElement(0x00080016, "UI", SecondaryCaptureImageStorage)
    header = NumpyFactory().make_series_header(ct_phantom(2), new_blueprint)
    assert header.sop_class_uid == SecondaryCaptureImageStorage
    assert header[0x0008103E].value == "Blueprint Example"
    assert header[0x00100010].value == "Phantom^Head"


def test_a_header_then_a_series() -> None:
    blueprint = example() + SOP_common_blueprint + general_series_blueprint + example()
    factory = NumpyFactory()
    header = factory.make_series_header(ct_phantom(4), blueprint, FillingStrategy.DISCARD)
    assert isinstance(header, SeriesHeader)
    datasets = factory.build_from_header(header, np.zeros((4, 32, 24), np.int16))
    assert [type(dataset) for dataset in datasets] == [Dataset] * 4
    assert {dataset.SeriesDescription for dataset in datasets} == {"Blueprint Example"}
    assert {dataset.SOPClassUID for dataset in datasets} == {CTImageStorage}
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == 4


class MyFactory(DicomFactory):
    """Builds its datasets itself, as the tutorial's factory does."""

    def build_from_header(self, series_header: SeriesHeader, image: Any) -> list[Dataset]:
        datasets = NumpyFactory().build_from_header(series_header, image)
        for dataset in datasets:
            dataset.ImageComments = "by MyFactory"
        return datasets


class MyInput(AbstractInput):
    required_tags = [0x00100020]
    required_values = {0x00080060: "CT"}

    def validate(self) -> bool:
        return self.images == 4


class MyPipeline(AbstractPipeline):
    input = {"CT": MyInput}
    dicom_factory = MyFactory()
    header_blueprint = (
        example()
        + SOP_common_blueprint
        + Blueprint([FunctionalElement(0x00200013, "IS", lambda environment: environment.instance_number)])
    )

    def process(self, input_container: InputContainer) -> list[Dataset]:
        image = input_container["CT"].voxels() + 1
        return self.dicom_factory.build_from_header(input_container.header, image)  # type: ignore[arg-type]


def library(pipeline: type[AbstractPipeline]) -> Library:
    from derived_series.pipelines.library import NamedPipeline

    named = NamedPipeline("my", pipeline, "", None, "")  # type: ignore[arg-type]
    return Library({}, {"my": named}, {}, ())


def test_a_pipeline_with_a_factory_of_its_own() -> None:
    parent = derived_series.ParentSeries.from_datasets(ct_phantom(4))
    series = run_pipeline(library(MyPipeline), "my", {"CT": parent}, {}, Options(), derived_series.BuildContext())
    datasets = list(series)
    assert len(datasets) == 4
    assert {dataset.ImageComments for dataset in datasets} == {"by MyFactory"}
    assert {dataset.SeriesDescription for dataset in datasets} == {"Blueprint Example"}
    assert [dataset.InstanceNumber for dataset in datasets] == [1, 2, 3, 4]
    assert series.study_instance_uid == parent.study_instance_uid
    assert series.series_instance_uid != parent.series_instance_uid
    values = np.stack([dataset.pixel_array.astype(np.float64) for dataset in datasets])
    slope, intercept = (float(datasets[0].get(k, d)) for k, d in (("RescaleSlope", 1), ("RescaleIntercept", 0)))
    assert np.array_equal(values * slope + intercept, parent.voxels() + 1)


def test_a_pipeline_that_returns_the_image_only() -> None:
    class Plain(MyPipeline):
        dicom_factory = NumpyFactory()  # type: ignore[assignment]

        def process(self, input_container: InputContainer) -> Any:
            assert isinstance(input_container.header, SeriesHeader)
            assert [d.SOPInstanceUID for d in input_container.datasets["CT"]] == list(
                AbstractInput(input_container["CT"]).data
            )
            return input_container["CT"].voxels()

    parent = derived_series.ParentSeries.from_datasets(ct_phantom(4))
    series = run_pipeline(library(Plain), "my", {"CT": parent}, {}, Options(), derived_series.BuildContext())
    assert len(series) == 4 and "ImageComments" not in series.dataset(0)
