"""Blueprint: which element makes which tag."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from derived_series.dicom.blueprints.copy_elements import CopyElement, InstanceCopyElement
from derived_series.dicom.blueprints.element import VirtualElement
from derived_series.dicom.encoding.tags import Key, TagLike, describe, to_tag
from derived_series.errors import BlueprintError

_UNNAMED = "blueprint"


@dataclass(frozen=True, slots=True)
class Entry:
    """An element, the name of the blueprint that it came with, and the entries that it overrode (newest first)."""

    element: VirtualElement
    source: str
    overrode: tuple[Entry, ...] = ()


class Blueprint:
    """A collection of virtual elements in tag order, at most one for each tag.

    ``a + b`` has the elements of both; where both have a tag, the element of ``b`` wins, so + is not commutative.
    Ready blueprints are shared and therefore frozen: ``bp[tag] = element`` raises an error. The results of ``+`` and
    ``copy()`` can be changed.

    :param elements: virtual elements; of two with the same tag, the later one wins.
    :param name: what ``explain`` names as the origin of the elements.
    """

    def __init__(self, elements: Iterable[VirtualElement] | Blueprint = (), *, name: str | None = None):
        self._frozen = False
        self._name = name
        self._entries: dict[Key, Entry] = {}
        if isinstance(elements, Blueprint):
            self._entries.update(elements._entries)
        else:
            for element in elements:
                self._put(element)

    @property
    def name(self) -> str:
        """What ``explain`` calls the origin of the elements."""
        return self._name or _UNNAMED

    def named(self, name: str) -> Blueprint:
        """A frozen copy with a name, which also becomes the origin of the elements that have none yet."""
        renamed = Blueprint(self, name=name)
        for key, entry in renamed._entries.items():
            if entry.source == _UNNAMED:
                renamed._entries[key] = Entry(entry.element, name, entry.overrode)
        return renamed.frozen()

    def frozen(self) -> Blueprint:
        """A copy that cannot be changed."""
        copied = self.copy()
        copied._frozen = True
        return copied

    def copy(self) -> Blueprint:
        """A copy that can be changed."""
        return Blueprint(self, name=self._name)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, object]) -> Blueprint:
        return self.copy()

    def entries(self) -> tuple[Entry, ...]:
        """The entries in tag order."""
        return tuple(self._entries[key] for key in sorted(self._entries))

    def _put(self, element: VirtualElement) -> None:
        if not isinstance(element, VirtualElement):
            raise BlueprintError(
                f"a blueprint holds virtual elements, not {type(element).__name__}: {element!r}",
                remedy="write StaticElement(tag, VR, value)",
            )
        old = self._entries.get(element.key)
        self._entries[element.key] = _over(Entry(element, self.name), old)

    def _keys(self, tag: TagLike) -> list[Key]:
        wanted = int(to_tag(tag))
        return [key for key in self._entries if key[0] == wanted]

    def _writable(self) -> None:
        if self._frozen:
            raise BlueprintError(
                f"the blueprint {self.name!r} is shared and cannot be changed",
                remedy="change a copy: mine = blueprint.copy(), or mine = blueprint + Blueprint([...])",
            )

    def __getitem__(self, tag: TagLike) -> VirtualElement:
        keys = self._keys(tag)
        if not keys:
            raise KeyError(f"{describe(to_tag(tag))} is not in the blueprint {self.name!r}")
        return self._entries[keys[-1]].element

    def __setitem__(self, tag: TagLike, element: VirtualElement) -> None:
        self._writable()
        if isinstance(element, VirtualElement) and element.tag != to_tag(tag):
            raise BlueprintError(f"{describe(to_tag(tag))} cannot hold {element!r}: it is for another tag")
        self._put(element)

    def __delitem__(self, tag: TagLike) -> None:
        self._writable()
        keys = self._keys(tag)
        if not keys:
            raise KeyError(f"{describe(to_tag(tag))} is not in the blueprint {self.name!r}")
        for key in keys:
            del self._entries[key]

    def __contains__(self, tag: object) -> bool:
        try:
            return bool(self._keys(tag))  # type: ignore[arg-type]
        except BlueprintError:
            return False

    def __iter__(self) -> Iterator[VirtualElement]:
        return iter([entry.element for entry in self.entries()])

    def __len__(self) -> int:
        return len(self._entries)

    def __add__(self, other: Blueprint) -> Blueprint:
        if not isinstance(other, Blueprint):
            return NotImplemented
        names = [b._name for b in (self, other) if b._name]
        total = Blueprint(self, name=" + ".join(names) or None)
        for key, entry in other._entries.items():
            total._entries[key] = _over(entry, total._entries.get(key))
        return total

    def __eq__(self, other: object) -> bool:
        """Whether the elements are equal; names and overridden elements do not count."""
        if not isinstance(other, Blueprint):
            return NotImplemented
        return {k: e.element for k, e in self._entries.items()} == {k: e.element for k, e in other._entries.items()}

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        lines = "".join(f"\n  {element!r}," for element in self)
        return f"Blueprint({self.name!r}, [{lines}\n])" if lines else f"Blueprint({self.name!r}, [])"

    def required_tags(self) -> tuple[int, ...]:
        """The tags that a parent must have: those that are copied and not optional."""
        copies = (e for e in self if isinstance(e, CopyElement | InstanceCopyElement) and not e.Optional)
        return tuple(int(e.tag) for e in copies if e.source is None)


def _over(entry: Entry, old: Entry | None) -> Entry:
    """Put an entry over an older one of the same key; an equal element overrides nothing."""
    if old is None:
        return entry
    chain = [entry, *entry.overrode, Entry(old.element, old.source), *old.overrode]
    hidden = (older for newer, older in itertools.pairwise(chain) if older.element != newer.element)
    return Entry(entry.element.over(old.element), entry.source, tuple(hidden))
