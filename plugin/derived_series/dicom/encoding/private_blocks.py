"""Private blocks: each private creator is given a block of its group (PS3.5 7.8.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from derived_series.errors import BlueprintError

#: (group, creator) -> block number (0x10 to 0xFF).
Blocks = Mapping[tuple[int, str], int]


def allocate(keys: Iterable[tuple[int, str]]) -> Blocks:
    """Assign a block to each creator of a group: that of its first tag if it is free, else the next free one.

    :param keys: (tag, creator); standard tags have no creator and are skipped.
    """
    blocks: dict[tuple[int, str], int] = {}
    for tag, creator in keys:
        group = tag >> 16
        if not creator or (group, creator) in blocks:
            continue
        taken = {block for (other, _), block in blocks.items() if other == group}
        wanted = (tag >> 8) & 0xFF
        free = [b for b in (wanted, *range(0x10, 0x100)) if 0x10 <= b <= 0xFF and b not in taken]
        if not free:
            raise BlueprintError(f"group {group:04X} has no free private block for {creator!r}")
        blocks[(group, creator)] = free[0]
    return blocks


def placed(element: DataElement, creator: str, blocks: Blocks) -> DataElement:
    """The element in its creator's block; a standard element as it is."""
    moved = placed_tag((int(element.tag), creator), blocks)
    if moved == element.tag:
        return element
    return DataElement(Tag(moved), element.VR, element.value, already_converted=True)


def placed_tag(key: tuple[int, str], blocks: Blocks) -> int:
    """The tag in its creator's block; a standard tag as it is."""
    tag, creator = key
    return tag & 0xFFFF00FF | blocks[(tag >> 16, creator)] << 8 if creator else tag


def creators(blocks: Blocks) -> list[DataElement]:
    """The private creator elements of the blocks."""
    return [DataElement(Tag(group, block), "LO", creator) for (group, creator), block in blocks.items()]
