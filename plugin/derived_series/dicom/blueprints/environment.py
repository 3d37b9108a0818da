"""The environments: what an element can read in the three phases of a build (header, image, instance)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.encoding.tags import Key, TagLike
from derived_series.dicom.encoding.times import in_zone, zone_of
from derived_series.dicom.grid import Grid, Vector
from derived_series.dicom.image.frame_of_reference import FrameOfReference
from derived_series.dicom.image.placement import OtherInput
from derived_series.dicom.image.stored_pixels import StoredPixels
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.volumes import descends


class BlueprintTags(Protocol):
    """A complete blueprint, as far as elements can see it."""

    def __contains__(self, tag: TagLike) -> bool: ...

    def __getitem__(self, tag: TagLike) -> object: ...


class SettledHeader(Protocol):
    """The part of a ``SeriesHeader`` that elements can read: what was settled before the image."""

    @property
    def elements(self) -> Mapping[Key, DataElement]:
        """The settled elements, by tag and private creator."""

    @property
    def blueprint(self) -> BlueprintTags:
        """The blueprint that they come from."""


@dataclass(frozen=True, slots=True)
class SeriesEnvironment:
    """What is known when the header is made: the parent, the factory and the build context; no image yet.

    :param factory: the ``DicomFactory`` that makes the series; elements may read any of its attributes.
    :param inputs: all series of the derivation, including the parent, by their names in the pipeline; empty when the
        parent is the only one.
    :param derivation: how the image is derived, if the blueprint says so before the image is known; else empty.
    :param segmentations: the segmentations among the inputs and the job's earlier outputs, by SOPInstanceUID.
    """

    parent: ParentSeries
    factory: Any
    context: BuildContext
    inputs: Mapping[str, ParentSeries] = field(default_factory=dict)
    derivation: str = ""
    segmentations: Mapping[str, Dataset] = field(default_factory=dict)

    @property
    def pivot(self) -> Dataset:
        """The parent's first instance along the normal."""
        return self.parent.pivot

    @property
    def now(self) -> datetime:
        """The time of the build in the parent's time zone, which is copied with the parent's times."""
        return in_zone(self.context.now, zone_of(self.pivot))

    @property
    def others(self) -> tuple[ParentSeries, ...]:
        """The inputs other than the parent, each once."""
        parent_uid = self.parent.series_instance_uid
        by_uid = {series.series_instance_uid: series for series in self.inputs.values()}
        return tuple(series for uid, series in by_uid.items() if uid != parent_uid)


@dataclass(frozen=True, slots=True)
class ImageEnvironment:
    """What is known once the image is there.

    :param sop_class_uid: SOPClassUID of the derived series.
    :param pixels: the image, and the encoding of the whole series (dtype, slope, intercept).
    :param grid: the grid of one volume; None for an image without geometry.
    :param on_parent_grid: True when slice k of the image is at ``parent.instances[sources[k][0]]``.
    :param sources: for each slice of the image, the indexes of the parent's instances that it comes from.
    :param volumes: number of volumes; slice k of volume t is instance ``t * slices + k``.
    :param time_step: seconds from one volume to the next; None when it is unknown or volumes do not follow in time.
    :param header: the header that was settled before the image.
    :param frame: the grid's frame of reference; None for the parent's.
    :param others: the other inputs, each with the instances that the slices come from.
    :param frames: the number of frames of each instance; empty when an instance is one slice.
    :param numbered_as_parent: InstanceNumbers run in the parent's direction on another grid too.
    :ivar value_cache: the answers so far, by element or function and instance, so that each is asked once. A copy made
        by ``dataclasses.replace`` starts with an empty cache, since the answers may differ there.
    """

    series: SeriesEnvironment
    sop_class_uid: str
    pixels: StoredPixels
    grid: Grid | None
    on_parent_grid: bool
    sources: tuple[tuple[int, ...], ...]
    volumes: int = 1
    time_step: float | None = None
    header: SettledHeader | None = None
    frame: FrameOfReference | None = None
    others: tuple[OtherInput, ...] = ()
    frames: tuple[int, ...] = ()
    numbered_as_parent: bool = False
    value_cache: dict[tuple[object, int], Any] = field(init=False, default_factory=dict, compare=False, repr=False)

    @property
    def parent(self) -> ParentSeries:
        """The parent series."""
        return self.series.parent

    @property
    def context(self) -> BuildContext:
        """The circumstances of the build: its time and UIDs."""
        return self.series.context

    @property
    def now(self) -> datetime:
        """The time of the build, see ``SeriesEnvironment.now``."""
        return self.series.now

    @property
    def descends(self) -> bool:
        """Whether InstanceNumbers fall along the normal, as the parent's may when the image is on its grid."""
        if not (self.on_parent_grid or self.numbered_as_parent) or self.grid is None:
            return False
        key = (descends, -1)
        if key not in self.value_cache:
            self.value_cache[key] = descends(self.parent.instances[: self.parent.slices_per_volume])
        return bool(self.value_cache[key])

    @property
    def count(self) -> int:
        """The number of instances of the derived series."""
        return len(self.sources)

    @property
    def slices(self) -> int:
        """The number of slices of one volume."""
        return len(self.sources) // self.volumes


@dataclass(frozen=True, slots=True)
class InstanceEnvironment:
    """What is known for one instance: its slice of the image and where that comes from.

    :param index: 0-based, volume after volume, the slices of each ascending along the normal.
    """

    image_env: ImageEnvironment
    index: int

    @property
    def instance_number(self) -> int:
        """InstanceNumber (0020,0013): 1-based, in geometric order, volume after volume.

        On the parent's grid it runs in the parent's direction, so that viewers scroll both series alike.
        """
        if not self.image_env.descends:
            return self.index + 1
        return (self.volume_index + 1) * self.image_env.slices - self.slice_index

    @property
    def volume_index(self) -> int:
        """The 0-based index of the slice's volume."""
        return self.index // self.image_env.slices

    @property
    def slice_index(self) -> int:
        """The 0-based index of the slice in its volume, ascending along the normal."""
        return self.index % self.image_env.slices

    @property
    def factory(self) -> Any:
        """The factory that makes the series."""
        return self.image_env.series.factory

    @property
    def parent(self) -> ParentSeries:
        """The parent series."""
        return self.image_env.parent

    @property
    def context(self) -> BuildContext:
        """The circumstances of the build: its time and UIDs."""
        return self.image_env.context

    @property
    def instance_dataset(self) -> Dataset | None:
        """The parent's instance at this slice's position; None when the image is on its own grid.

        It is from the same volume, or from the first one when the image has another number of volumes.
        """
        return self.parent.instances[self.image_env.sources[self.index][0]] if self.image_env.on_parent_grid else None

    @property
    def counterparts(self) -> tuple[Dataset, ...]:
        """The parent's instances at this slice's position that it was made from: several for a mean over volumes.

        Empty when the image is on its own grid.
        """
        if not self.image_env.on_parent_grid:
            return ()
        sources, slices = self.image_env.sources[self.index], self.parent.slices_per_volume
        if len(sources) == 1:
            return (self.parent.instances[sources[0]],)
        return tuple(self.parent.instances[i] for i in sources if i % slices == sources[0] % slices)

    @property
    def source_datasets(self) -> tuple[Dataset, ...]:
        """The parent's instances that contribute to this slice."""
        return tuple([self.parent.instances[i] for i in self.image_env.sources[self.index]])

    @property
    def position(self) -> Vector | None:
        """ImagePositionPatient (PS3.3 C.7.6.2.1.1), LPS mm; None without geometry."""
        return None if self.image_env.grid is None else self.image_env.grid.positions[self.slice_index]

    @property
    def image(self) -> npt.NDArray[Any]:
        """The slice as it was passed in, (row, column) or (row, column, sample)."""
        return np.asarray(self.image_env.pixels.image[self.index])


#: The name that the tutorial uses.
InstanceVirtualEnvironment = InstanceEnvironment
