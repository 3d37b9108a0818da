"""Elements that take their value from the parent series."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from derived_series.dicom.blueprints.element import (
    ABSENT,
    DEFAULT_CREATOR,
    DEFER,
    InstanceVirtualElement,
    LackingValue,
    Value,
    VirtualElement,
)
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment, SeriesEnvironment
from derived_series.dicom.encoding.read_errors import READ_ERRORS, unreadable
from derived_series.dicom.encoding.tags import TagLike, describe, to_tag
from derived_series.errors import BlueprintError

if TYPE_CHECKING:
    from derived_series.dicom.source.parent_series import ParentSeries

_STEP = re.compile(r"^(?P<keyword>\w+)\[(?P<item>\d+)\]$")

Path = tuple[tuple[BaseTag, int], ...]


def _source(source: str) -> tuple[Path, BaseTag]:
    """``"A[0].B[1].C"`` as ((A, 0), (B, 1)), C."""
    *steps, last = source.split(".")
    path = []
    for step in steps:
        match = _STEP.match(step)
        if match is None:
            raise BlueprintError(
                f"{source!r} is not a place in a dataset: {step!r} is not like Keyword[0]",
                remedy='write "RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife"',
            )
        path.append((to_tag(match["keyword"]), int(match["item"])))
    return tuple(path), to_tag(last)


def private_tag_in(dataset: Dataset, tag: BaseTag, creator: str) -> BaseTag | None:
    """The tag at which the dataset has a creator's private element; its block may differ from that of ``tag``."""
    if creator == DEFAULT_CREATOR and BaseTag(tag) in dataset:
        return tag
    try:
        return dataset.private_block(tag.group, creator).get_tag(tag.element & 0xFF)
    except KeyError:
        return None


class CopyElement(VirtualElement):
    """Copies the value of the parent's pivot; all instances share it.

    :param Optional: True: leave the tag out when the parent lacks it; False: raise an error.
    :param source: another place to read from, also inside sequences:
        ``"RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife"``.
    """

    Optional: bool
    source: str | None
    _path: Path
    _last: BaseTag

    def __init__(
        self,
        tag: TagLike,
        *,
        Optional: bool = False,
        name: str | None = None,
        source: str | None = None,
        creator: str | None = None,
    ):
        super().__init__(tag, None, creator)
        if not isinstance(Optional, bool):
            raise BlueprintError(
                f"{type(self).__name__} for {describe(self.tag)}: Optional is {Optional!r}, not True or False"
            )
        path, last = _source(source) if source else ((), self.tag)
        self._set(Optional=Optional, source=source, _path=path, _last=last)

    def describe(self) -> str:
        parts = [f"from {self.source}"] if self.source else []
        return ", ".join(parts + (["Optional=True"] if self.Optional else []))

    def read(self, dataset: Dataset) -> DataElement | None:
        """The element in a dataset; None when it is missing."""
        try:
            for tag, item in self._path:
                items = dataset.get(tag)
                if items is None or items.VR != "SQ" or len(items.value) <= item:
                    return None
                dataset = items.value[item]
            last: BaseTag | None = self._last
            if self._last.is_private:
                last = private_tag_in(dataset, self._last, self.creator)
            return dataset[last] if last is not None and last in dataset else None
        except READ_ERRORS as error:
            raise unreadable(f"{describe(self._last)} of instance {dataset.get('SOPInstanceUID')}", error) from error

    def is_constant(self, parent: ParentSeries) -> bool:
        """Whether all instances of the parent have the same value, or all have none."""
        if not self._path and not self._last.is_private:
            return parent.is_constant(self._last)
        return self._agree(parent.instances)

    def _agree(self, instances: Sequence[Dataset]) -> bool:
        """Whether these instances have the same value, or all have none."""
        if len(instances) == 1:
            return True
        elements = map(self.read, instances)
        first, *others = [None if element is None else (element.value,) for element in elements]
        return all(other == first for other in others)

    def lacking(self) -> Value:
        """The answer when the parent lacks the tag: ``ABSENT`` if it is optional, else ``LackingValue`` is raised."""
        if self.Optional:
            return ABSENT
        raise LackingValue(f"the parent series has no {self.source or describe(self.tag)} to copy")

    def at_header(self, env: SeriesEnvironment) -> Value:
        element = self.read(env.pivot)
        return self.lacking() if element is None else element


class CopyOrElseElement(CopyElement):
    """Copies the parent's value, or falls back to a plain value or an element of the same tag.

    ``CopyOrElseElement("Manufacturer", "")`` writes an empty (type 2) Manufacturer when the parent has none.
    """

    fallback: Any

    def __init__(self, tag: TagLike, fallback: Any, *, source: str | None = None, creator: str | None = None):
        super().__init__(tag, Optional=True, source=source, creator=creator)
        if isinstance(fallback, VirtualElement) and fallback.key != self.key:
            raise BlueprintError(f"the fallback for {describe(self.tag)} is for another tag: {fallback!r}")
        self._set(fallback=fallback)
        if not isinstance(fallback, VirtualElement):
            self.data_element(fallback)  # a wrong value is reported where it is written

    def describe(self) -> str:
        return f"or else {self.fallback!r}"

    def at_header(self, env: SeriesEnvironment) -> Value:
        element = self.read(env.pivot)
        if element is not None and not element.is_empty:
            return element
        return self.fallback.at_header(env) if isinstance(self.fallback, VirtualElement) else self.fallback

    def at_image(self, env: ImageEnvironment) -> Value:
        return self.fallback.at_image(env) if isinstance(self.fallback, VirtualElement) else DEFER

    def at_instance(self, env: InstanceEnvironment) -> Value:
        return self.fallback.at_instance(env)


class InstanceCopyElement(CopyElement, InstanceVirtualElement):
    """Copies for each instance the value of the parent's instance at the same position.

    Instances are matched by position along the normal, never by InstanceNumber or order of arrival. An image made from
    several volumes of the parent has no value where these differ.

    :raises HeaderError: in the build, when the image is on its own grid and so has no such instance, or when the value
        differs between the volumes and is not Optional.
    """

    def __init__(
        self,
        tag: TagLike,
        VR: str | None = None,
        name: str | None = None,
        *,
        Optional: bool = False,
        source: str | None = None,
        creator: str | None = None,
    ):
        super().__init__(tag, Optional=Optional, source=source, creator=creator)
        if VR is not None:
            VirtualElement.__init__(self, tag, VR, creator)  # which checks it

    def at_header(self, env: SeriesEnvironment) -> Value:
        if not self.Optional:
            without = sum(self.read(instance) is None for instance in env.parent.instances)
            if without:
                raise LackingValue(f"{without} of the parent's {len(env.parent)} instances lack it")
        return DEFER

    def at_image(self, env: ImageEnvironment) -> Value:
        if not env.on_parent_grid:
            raise LackingValue(
                "InstanceCopyElement copies from the parent's instance at the same position, but the image is on "
                "a grid of its own; give an image on the parent's grid, or compute it with a FunctionalElement"
            )
        if not self.Optional and env.volumes != env.parent.volumes:
            for index in range(env.slices):
                if not self._agree(InstanceEnvironment(env, index).counterparts):
                    raise LackingValue(
                        f"it differs between the parent's {env.parent.volumes} volumes, and the image has "
                        f"{env.volumes}; make it Optional, or compute it with a FunctionalElement"
                    )
        return DEFER

    def at_instance(self, env: InstanceEnvironment) -> Value:
        counterparts = env.counterparts
        element = self.read(counterparts[0]) if self._agree(counterparts) else None
        return ABSENT if element is None else element


class PositionCopyElement(CopyElement):
    """Copies the parent's value where it holds: one for all when all parent instances agree, else one each.

    Where the instances differ and the image is on its own grid, or was made from several volumes that differ, the tag
    is left out, or has the value of ``Else`` (``None``: empty): the value of one slice is never written for another.
    A value that is the same in all slices of a volume is kept on any grid.

    :param required: the tag must have a value (type 1), and ``Else`` is not used.
    """

    Else: Any

    def __init__(self, tag: TagLike, Else: Any = ABSENT, *, required: bool = False, creator: str | None = None):
        super().__init__(tag, Optional=not required, creator=creator)
        self._set(Else=Else)
        if Else is not ABSENT:
            self.data_element(Else)  # a wrong value is reported where it is written

    def describe(self) -> str:
        return "by position" + ("" if self.Else is ABSENT else f", or else {self.Else!r}")

    def lacking(self) -> Value:
        return self.Else if self.Optional else super().lacking()

    def at_header(self, env: SeriesEnvironment) -> Value:
        if not self.is_constant(env.parent):
            return DEFER
        element = self.read(env.pivot)
        return self.lacking() if element is None else element

    def at_image(self, env: ImageEnvironment) -> Value:
        if env.on_parent_grid or self._is_of_volumes(env):
            return DEFER
        if not self.Optional:
            raise LackingValue("the parent's instances differ in it and the image is on a grid of its own")
        return self.Else

    def _is_of_volumes(self, env: ImageEnvironment) -> bool:
        """Whether each volume of the parent has one value and the image has as many volumes."""
        parent, size = env.parent, env.parent.slices_per_volume
        if parent.volumes == 1 or env.volumes != parent.volumes:
            return False
        return all(self._agree(parent.instances[t * size : (t + 1) * size]) for t in range(parent.volumes))

    def of_whole(self, env: ImageEnvironment) -> Value:
        """The value for an object with all slices in one instance when the slices differ: none."""
        return self.lacking()

    def at_instance(self, env: InstanceEnvironment) -> Value:
        counterparts = env.counterparts or (env.parent.instances[env.volume_index * env.parent.slices_per_volume],)
        element = self.read(counterparts[0]) if self._agree(counterparts) else None
        return self.lacking() if element is None else element


class GridCopyElement(PositionCopyElement):
    """Copies the parent's value, which is about its rows and columns, when the image is on the parent's grid.

    Elsewhere, and when the parent has none, the tag is left out or has the value of ``Else``.
    """

    def read(self, dataset: Dataset) -> DataElement | None:
        element = super().read(dataset)
        return None if element is None or element.is_empty else element

    def at_header(self, env: SeriesEnvironment) -> Value:
        value = super().at_header(env)
        return DEFER if isinstance(value, DataElement) else value

    def at_image(self, env: ImageEnvironment) -> Value:
        if not env.on_parent_grid:
            return self.Else
        return super().at_header(env.series)
