"""SequenceElement: blueprints inside a blueprint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset

from derived_series.dicom.blueprints.element import (
    ABSENT,
    DEFER,
    InstanceVirtualElement,
    LackingValue,
    Value,
    VirtualElement,
)
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment, SeriesEnvironment
from derived_series.dicom.encoding.private_blocks import allocate, creators, placed
from derived_series.dicom.encoding.tags import TagLike, describe
from derived_series.errors import BlueprintError

if TYPE_CHECKING:
    from derived_series.dicom.blueprints.blueprint import Blueprint


class SequenceElement(InstanceVirtualElement):
    """A sequence with one item for each blueprint.

    Items may have elements of any kind. CopyElement reads from the top level of the parent's dataset, or from inside
    its sequences with ``source``.
    """

    blueprints: tuple[Blueprint, ...]

    def __init__(
        self,
        tag: TagLike,
        blueprints: Iterable[Blueprint],
        name: str | None = None,
        *,
        creator: str | None = None,
    ):
        super().__init__(tag, "SQ", creator)
        items = tuple(blueprint.copy() for blueprint in blueprints)
        if not items:
            raise BlueprintError(f"SequenceElement for {describe(self.tag)} has no item blueprint")
        self._set(blueprints=items)

    def describe(self) -> str:
        return f"{len(self.blueprints)} item(s)"

    def _items(self, ask: Callable[[VirtualElement], Value]) -> Value:
        """The items once every element has an answer; DEFER as long as one has none."""
        items = []
        for blueprint in self.blueprints:
            with_creators = []
            for element in blueprint:
                value = ask(element)
                if value is DEFER:
                    return DEFER
                if value is not ABSENT:
                    with_creators.append((element.creator, element.data_element(value)))
            blocks = allocate((int(data_element.tag), creator) for creator, data_element in with_creators)
            item = Dataset()
            for creator, data_element in with_creators:
                item.add(placed(data_element, creator, blocks))
            for data_element in creators(blocks):
                item.add(data_element)
            items.append(item)
        return items

    def at_header(self, env: SeriesEnvironment) -> Value:
        missing = []

        def ask(element: VirtualElement) -> Value:
            try:
                return element.at_header(env)
            except LackingValue as lack:
                missing.append(f"{describe(element.tag)}: {lack}")
                return ABSENT

        items = self._items(ask)
        if missing:
            raise LackingValue("in an item, " + "; ".join(missing))
        return items

    def at_image(self, env: ImageEnvironment) -> Value:
        return self._items(lambda element: up_to_image(element, env))

    def at_instance(self, env: InstanceEnvironment) -> Value:
        return self._items(lambda element: up_to_instance(element, env))


def up_to_image(element: VirtualElement, env: ImageEnvironment) -> Value:
    """The element's answer at the header or, if it defers, at the image."""
    value = element.at_header(env.series)
    return element.at_image(env) if value is DEFER else value


def up_to_instance(element: VirtualElement, env: InstanceEnvironment) -> Value:
    """The element's answer for one instance, from whichever phase gives it."""
    value = up_to_image(element, env.image_env)
    return element.at_instance(env) if value is DEFER else value
