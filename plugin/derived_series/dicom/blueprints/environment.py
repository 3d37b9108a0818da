"""What an element may look at, in the three phases of a build: header, image, instance."""

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
    """What a complete blueprint names."""

    def __contains__(self, tag: TagLike) -> bool: ...

    def __getitem__(self, tag: TagLike) -> object: ...


class SettledHeader(Protocol):
    """What was settled before the image, as a ``SeriesHeader`` has it."""

    @property
    def elements(self) -> Mapping[Key, DataElement]:
        """The values, by tag and private creator."""

    @property
    def blueprint(self) -> BlueprintTags:
        """The elements that they are of."""


@dataclass(frozen=True, slots=True)
class SeriesEnvironment:
    """Known when the header is made: the parent, the factory, the circumstances; no image yet.

    :param factory: that makes the series, a ``DicomFactory``; elements read what attributes they like of it.
    :param inputs: all series of the derivation by their names in the pipeline, the parent among them; empty where it
        is made from the parent alone.
    :param derivation: how the image is derived, as far as the blueprint says it at once; empty for nothing.
    :param segmentations: the segmentations among the inputs and among what the job has made before, by
        SOPInstanceUID.
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
        """The time of the build on the clock that the parent's times are read from, whose zone is copied with them."""
        return in_zone(self.context.now, zone_of(self.pivot))

    @property
    def others(self) -> tuple[ParentSeries, ...]:
        """The inputs beside the parent, each once."""
        parent_uid = self.parent.series_instance_uid
        by_uid = {series.series_instance_uid: series for series in self.inputs.values()}
        return tuple(series for uid, series in by_uid.items() if uid != parent_uid)


@dataclass(frozen=True, slots=True)
class ImageEnvironment:
    """Known when the image is there.

    :param sop_class_uid: the class of the derived series.
    :param pixels: the encoding chosen for the whole series (dtype, slope, intercept, window).
    :param grid: where the slices of one volume are; None for an image without geometry.
    :param on_parent_grid: True when slice k of the image is at ``parent.instances[sources[k][0]]``.
    :param sources: for each slice of the image, the indexes of the parent's instances that it comes from.
    :param volumes: how many the image has; slice k of volume t is instance ``t * slices + k``.
    :param time_step: seconds from one volume to the next; None when they do not follow in time or nothing tells.
    :param header: what was settled before the image.
    :param frame: the frame of reference that the grid is in; None is the parent's.
    :param others: what of the inputs beside the parent the slices come from.
    :param frames: how many frames each instance has; empty where an instance is one slice.
    :param numbered_as_parent: InstanceNumbers run in the parent's direction, on another grid, too.
    :ivar value_cache: what was asked so far, by element or function and instance: each is asked once. What
        ``dataclasses.replace`` makes of the environment begins with none: there the answers may be others.
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
        """Whether InstanceNumbers fall along the normal, as the parent's do where the image is on its grid."""
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
    """Known for each instance: one slice of the image and where it comes from.

    :param index: 0-based, volume after volume, the slices of each ascending along the normal.
    """

    image_env: ImageEnvironment
    index: int

    @property
    def instance_number(self) -> int:
        """1-based, in geometric order, volume after volume: the InstanceNumber (0020,0013).

        On the parent's grid in the parent's direction along the normal, so that both are scrolled alike.
        """
        if not self.image_env.descends:
            return self.index + 1
        return (self.volume_index + 1) * self.image_env.slices - self.slice_index

    @property
    def volume_index(self) -> int:
        """0-based: which volume the slice is of."""
        return self.index // self.image_env.slices

    @property
    def slice_index(self) -> int:
        """0-based, ascending along the normal: which slice of its volume it is."""
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
        """The parent's instance at this slice's position; None when the image is on a grid of its own.

        Of several volumes it is that of the same volume; in an image of another number of volumes, of the first.
        """
        return self.parent.instances[self.image_env.sources[self.index][0]] if self.image_env.on_parent_grid else None

    @property
    def counterparts(self) -> tuple[Dataset, ...]:
        """The parent's instances at this slice's position that it comes from: several for a mean over volumes.

        There is none when the image is on a grid of its own.
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
        """The slice as it was given, (row, column) or (row, column, sample)."""
        return np.asarray(self.image_env.pixels.image[self.index])


#: The tutorial's name.
InstanceVirtualEnvironment = InstanceEnvironment
