"""Input: which series a pipeline takes, and in which form."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydicom.dataset import Dataset

from derived_series.dicom.encoding.tags import TagLike, describe, to_tag
from derived_series.dicom.objects.structures import Labels, labels_on
from derived_series.dicom.source.multiframe.frame import FrameDataset
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import BlueprintError, InvalidRequest
from derived_series.pipelines.grinders import Grinder, SeriesGrinder


class Input:
    """One input of a pipeline; an object of the class holds one series of a derivation.

    A pipeline names a subclass, or the values below: ``Input(as_="dicom", required_values={"Modality": "CT"})``.

    :cvar required_tags: tags that every instance must have.
    :cvar required_values: required values by tag; a tuple, list or set allows any of its values.
    :cvar prior: the series is of a prior study of the same patient; if the request names none, of the latest study
        before the parent's that has such a series.
    :cvar optional: a derivation may lack it; ``input_container`` does not have it then.
    :cvar image_grinder: makes ``input_container[name]`` from the series.
    :cvar as_: the form for a command or a container: a NIfTI file, or a folder of the original DICOM files.
    :cvar file: the name of that file or folder, such as ``"case_0000.nii.gz"``; by default the input's name.
    """

    required_tags: ClassVar[Collection[TagLike]] = ()
    required_values: ClassVar[Mapping[TagLike, Any]] = {}
    prior: ClassVar[bool] = False
    optional: ClassVar[bool] = False
    image_grinder: Grinder = SeriesGrinder()
    as_: ClassVar[Literal["nifti", "dicom"]] = "nifti"
    file: ClassVar[str] = ""

    def __init__(
        self,
        series: ParentSeries | None = None,
        *,
        required_tags: Collection[TagLike] | None = None,
        required_values: Mapping[TagLike, Any] | None = None,
        prior: bool | None = None,
        optional: bool | None = None,
        image_grinder: Grinder | None = None,
        as_: Literal["nifti", "dicom"] | None = None,
        file: str | None = None,
    ):
        """Hold a series, or the values with which a pipeline declares an input.

        :param series: None in a declaration.
        """
        if series is not None:
            self.series = series
        values = {
            **{"required_tags": required_tags, "required_values": required_values, "prior": prior},
            **{"optional": optional, "image_grinder": image_grinder, "as_": as_, "file": file},
        }
        self._values = {name: value for name, value in values.items() if value is not None}

    @classmethod
    def class_of(cls, declared: Any, name: str) -> type[Input]:
        """The class of a pipeline's input: the user's class, or a new one with the values of an Input object.

        :param name: the input's.
        :raises BlueprintError: it is neither.
        """
        if isinstance(declared, type) and issubclass(declared, Input):
            return declared
        if isinstance(declared, Input) and not hasattr(declared, "series"):
            return type(name, (type(declared),), declared._values)
        raise BlueprintError(
            f"the input {name!r} is {declared!r}",
            remedy="give a subclass of Input, or Input(...) with what it requires",
        )

    @property
    def images(self) -> int:
        """The number of instances."""
        return len(self.series)

    @property
    def data(self) -> dict[str, Dataset]:
        """The instances by SOPInstanceUID, ascending along the normal; frames by ``SOPInstanceUID/number``."""
        return {
            dataset.name if isinstance(dataset, FrameDataset) else str(dataset.SOPInstanceUID): dataset
            for dataset in self.series.instances
        }

    def __iter__(self) -> Iterator[Dataset]:
        return iter(self.series.instances)

    def on(self, parent: ParentSeries) -> Input:
        """The input with the pipeline's parent, for inputs that depend on it."""
        return self

    def validate(self) -> bool:
        """Whether the series is complete; override it for other checks."""
        return True

    def get_data(self) -> Any:
        """The series in the form that the grinder makes."""
        return type(self).image_grinder(self.series)

    @classmethod
    def reads_objects(cls) -> bool:
        """Whether the series is read as the stored objects (``ParentSeries.from_objects``), not as slices."""
        return bool(getattr(cls.image_grinder, "objects", False))

    @classmethod
    def refusal(cls, dataset: Dataset) -> str | None:
        """Why a series with such an instance is not taken; None if it is."""
        for tag, wanted in cls.required_values.items():
            element = dataset.get(to_tag(tag))
            value = None if element is None else element.value
            allowed = list(wanted) if isinstance(wanted, tuple | list | set | frozenset) else [wanted]
            if value not in allowed:
                return f"{describe(to_tag(tag))} is {value!r}, wanted {' or '.join(map(repr, allowed))}"
        for tag in cls.required_tags:
            if to_tag(tag) not in dataset:
                return f"{describe(to_tag(tag))} is missing"
        return None


class StructuresInput(Input):
    """A segmentation or an RT structure set: ``input_container[name]`` is its ``Labels`` on the parent's grid.

    It cannot be the parent. Its own ``series`` has one instance, as it is stored.
    """

    required_values: ClassVar[Mapping[TagLike, Any]] = {"Modality": ("SEG", "RTSTRUCT")}

    def __init__(self, series: ParentSeries, parent: ParentSeries | None = None):
        super().__init__(series)
        self.parent = parent

    @classmethod
    def reads_objects(cls) -> bool:
        """Always: no frame of it is an image."""
        return True

    def on(self, parent: ParentSeries) -> Input:
        """The input with the series whose grid its labels get."""
        return type(self)(self.series, parent)

    def get_data(self) -> Labels:
        """The labels on the parent's grid, (slice, row, column).

        :raises GeometryError: the parent has no grid, or the structures do not fit it.
        :raises InvalidRequest: the structures are the parent itself.
        """
        if self.parent is None:
            raise InvalidRequest(
                f"a {type(self).__name__} is labels on the grid of other images: it cannot be the parent",
                remedy="name another input in parent_input",
            )
        return labels_on(self.series, self.parent)
