"""Checking required attributes: type 1 with a value, type 2 present, 1C and 2C if they are decidable (PS3.5 7.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydicom.dataset import Dataset

from derived_series.dicom.encoding.read_errors import READ_ERRORS
from derived_series.dicom.series.header_rules import PIXEL_TAGS
from derived_series.dicom.source.multiframe.functional_groups import classic_keyword, is_legacy_converted
from derived_series.dicom.validation.conditions import BY_VALUE_TYPE, CONDITIONS, SPECIALISED
from derived_series.dicom.validation.finding import Finding, error, warning
from derived_series.dicom.validation.standard import Attribute, Module, modules_of

#: Attributes that are never part of the header.
PIXELS = frozenset({"PixelData", "FloatPixelData", "DoubleFloatPixelData"})

#: How much was lost before, and how: only the parent can say it.
_OF_THE_PARENT_ALONE = frozenset({"LossyImageCompressionRatio", "LossyImageCompressionMethod"})
#: The groups in which a macro may be; the tables do not say which macros are mandatory for an IOD.
_EXCUSED = "of the parent"
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def warm_up() -> None:
    """Read the tables in advance, so that the first series need not wait."""
    for iod in ("ct-image", "mr-image", "positron-emission-tomography-image", "secondary-capture-image"):
        _decidable(iod)


def check_attributes(
    dataset: Dataset, iod: str, parent: Sequence[Dataset], inputs: Sequence[Dataset], where: str
) -> Iterator[Finding]:
    """Find attributes that the modules of an IOD require and the dataset lacks.

    If a parent of the same kind lacks them too, or they are in items copied from it, it is a warning.

    :param parent: the instances of the parent series. :param inputs: those of all inputs, the parent's first.
    """
    reported: set[tuple[str, ...]] = set()
    mandatory = _mandatory_tags(iod)
    for asked in _decidable(iod):
        module, path = asked.module, asked.path
        if path and path[0] not in dataset:
            continue
        supposed = bool(path) or module.is_mandatory or _is_present(module, dataset, mandatory)
        for item, place in _items(dataset, path):
            for attribute in asked.attributes:
                key = (*path, attribute.keyword)
                decided = supposed or attribute.type.endswith("C")
                decided = decided and _is_of_its_kind(item, attribute)
                problem = None if key in reported or not decided else _problem(item, attribute)
                if problem is None:
                    continue
                excused = _excused(dataset, item, attribute, parent, inputs)
                if excused and (*key, _EXCUSED) in reported:
                    continue
                reported.add((*key, _EXCUSED) if excused else key)
                at = ", ".join(filter(None, [where, place, f"{module.name} module"]))
                unsure = not path and not module.is_mandatory and not attribute.type.endswith("C")
                if excused:
                    yield warning(attribute.tag, f"{problem}; the parent has it no better", at)
                else:
                    yield (warning if unsure else error)(attribute.tag, problem, at)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The attributes that a module requires at one place."""

    module: Module
    path: tuple[str, ...]
    attributes: tuple[Attribute, ...]


@lru_cache(maxsize=16)
def _decidable(iod: str) -> tuple[_Asked, ...]:
    """The attributes of an IOD for which it is known whether they are required, by module and place."""
    asked: list[_Asked] = []
    every = [attribute for module in modules_of(iod) for attribute in module.attributes if not attribute.path]
    overridden = SPECIALISED & {attribute.keyword for attribute in every if attribute.type == "1C"}
    for module in modules_of(iod):
        by_path: dict[tuple[str, ...], list[Attribute]] = {}
        for attribute in module.attributes:
            if len(attribute.path) == 1 and attribute.path[0] in _GROUPS:
                continue
            if attribute.type == "1" and attribute.keyword in overridden:
                continue
            conditional = attribute.type in ("1C", "2C") and attribute.keyword in CONDITIONS
            if (conditional or attribute.type in ("1", "2")) and attribute.keyword not in PIXELS:
                by_path.setdefault(attribute.path, []).append(attribute)
        asked += [_Asked(module, path, tuple(attributes)) for path, attributes in by_path.items()]
    return tuple(asked)


@lru_cache(maxsize=16)
def _mandatory_tags(iod: str) -> frozenset[int]:
    """The tags of the mandatory modules of an IOD."""
    return frozenset(
        a.tag for module in modules_of(iod) if module.is_mandatory for a in module.attributes if not a.path
    )


def _is_present(module: Module, dataset: Dataset, mandatory: frozenset[int]) -> bool:
    """Whether an optional module is present: a required attribute of it is, which no mandatory module has.

    The modules of integer and float pixels share Rows and Columns, and exclude each other.
    """
    floats = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
    if module.name == "image-pixel" and floats:
        return False
    required = (a.tag for a in module.attributes if a.type in ("1", "2") and not a.path and a.tag not in mandatory)
    return any(tag in dataset for tag in required)


def _items(dataset: Dataset, path: tuple[str, ...], place: str = "") -> Iterator[tuple[Dataset, str]]:
    """The items at the end of a path, and their places as text."""
    if not path:
        yield dataset, place
        return
    sequence = dataset[path[0]] if path[0] in dataset else None
    if sequence is None or sequence.VR != "SQ":
        return
    for number, item in enumerate(sequence.value):
        yield from _items(item, path[1:], f"{place}.{path[0]}[{number}]".lstrip("."))


def _is_of_its_kind(item: Dataset, attribute: Attribute) -> bool:
    """Whether an item of a content tree, or its root, has a ValueType to which the attribute applies."""
    rule = BY_VALUE_TYPE.get(attribute.keyword)
    if rule is None or not ("ValueType" in item or "ReferencedContentItemIdentifier" in item):
        return True
    return rule(item)


def _problem(item: Dataset, attribute: Attribute) -> str | None:
    kind, present = attribute.type, attribute.tag in item
    if present and (kind[0] == "2" or not item[attribute.tag].is_empty):
        return None
    if kind in ("1C", "2C") and not CONDITIONS[attribute.keyword](item):  # last: it may search all of it
        return None
    return f"is {'empty' if present else 'missing'}: it is of type {kind}"


def _excused(
    dataset: Dataset, item: Dataset, attribute: Attribute, parent: Sequence[Dataset], inputs: Sequence[Dataset]
) -> bool:
    """Whether the parent has the same fault. :param item: the dataset, or its item that lacks the attribute."""
    first = attribute.path[0] if attribute.path else None
    if attribute.keyword in _OF_THE_PARENT_ALONE:
        return True
    if first is not None and _have_item(inputs, attribute.path[-1], item):
        return True
    if first in _GROUPS and is_legacy_converted(dataset):  # the parent's instances have it one by one
        classic = classic_keyword(attribute.path[-1], attribute.keyword)
        return classic is not None and any(_has_none(instance, classic) for instance in parent)
    if first is not None or attribute.tag in PIXEL_TAGS or attribute.type[0] == "2":
        return False  # an empty element would satisfy type 2
    lacking = [instance for instance in parent if _has_none(instance, attribute.keyword)]
    if attribute.type == "1C":
        return any(map(CONDITIONS[attribute.keyword], lacking))
    return any(instance.get("SOPClassUID") == dataset.get("SOPClassUID") for instance in lacking)


def _have_item(inputs: Sequence[Dataset], sequence: str, item: Dataset) -> bool:
    """Whether any instance of the inputs has an equal item in a sequence of this keyword, at any depth.

    The first and the last instance come first: they are those of the slices that are checked.
    """
    by_likelihood = (*inputs[:1], *inputs[-1:], *inputs[1:-1])
    return any(item == other for instance in by_likelihood for other in _items_anywhere(instance, sequence))


def _items_anywhere(dataset: Dataset, sequence: str) -> Iterator[Dataset]:
    """The items of all sequences of a keyword, at any depth; what cannot be read has none."""
    for tag, read in list(dataset.items()):
        if (read.VR or "SQ") not in ("SQ", "UN") or read.value is None:  # None stays in its file
            continue
        try:
            element = dataset[tag]
            items = list(element.value or ()) if element.VR == "SQ" else []
        except READ_ERRORS:
            continue
        if element.keyword == sequence:
            yield from items
        for each in items:
            yield from _items_anywhere(each, sequence)


def _has_none(parent: Dataset, keyword: str) -> bool:
    return keyword not in parent or bool(parent[keyword].is_empty)
