"""SeriesHeader: the header of a derived series, before its image is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from derived_series.dicom.blueprints.blueprint import Blueprint, Entry
from derived_series.dicom.blueprints.copy_elements import CopyElement, InstanceCopyElement, PositionCopyElement
from derived_series.dicom.blueprints.element import ABSENT, LackingValue, VirtualElement
from derived_series.dicom.blueprints.environment import SeriesEnvironment
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.blueprints.parents_class import ParentsClassElement
from derived_series.dicom.encoding.tags import Key, TagLike, describe, to_tag
from derived_series.dicom.series.header_rules import PATIENT_AND_STUDY, complete, enforce_identity, parent_element
from derived_series.dicom.series.required import OtherModality, of_other_class, of_other_modality
from derived_series.dicom.series.settling import settle
from derived_series.dicom.source.detached import copy_of
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.volumes import LAST_RESORT
from derived_series.errors import HeaderError, Missing
from derived_series.kinds import sop_class

_SOP_CLASS: Key = (int(to_tag("SOPClassUID")), "")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SeriesHeader:
    """The header of a derived series, as far as it is known before its image.

    ``tag in header``, ``header[tag]`` and iteration give the settled values, as copies. The others come with the image
    or differ by instance: ``deferred``.

    :param blueprint: the complete blueprint: filling, the user's elements, the rules.
    """

    env: SeriesEnvironment
    blueprint: Blueprint
    strategy: FillingStrategy
    elements: Mapping[Key, DataElement]
    deferred: tuple[Entry, ...]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        """How much is settled, and for which parent, without patient data."""
        return (
            f"<SeriesHeader of {self.parent.series_instance_uid}: {len(self.elements)} tags are settled, "
            f"{len(self.deferred)} come with the image>"
        )

    @property
    def parent(self) -> ParentSeries:
        """The parent series."""
        return self.env.parent

    def of(self, parent: ParentSeries, inputs: Mapping[str, ParentSeries] | None = None) -> SeriesHeader:
        """The same header with other objects for the parent and the inputs, such as detached ones.

        :param inputs: all series of the derivation by their names; by default the header's.
        """
        return replace(self, env=replace(self.env, parent=parent, inputs=self.env.inputs if inputs is None else inputs))

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID (0020,000E), new."""
        return str(self["SeriesInstanceUID"].value)

    @property
    def sop_class_uid(self) -> str:
        """SOPClassUID (0008,0016): the kind of object that it is the header of."""
        return str(self["SOPClassUID"].value)

    def instance_uid(self, index: int = 0) -> str:
        """The SOPInstanceUID that an instance will have, so that others can refer to it in advance.

        :param index: 0-based, see ``InstanceEnvironment.index``; always 0 for an object in one instance.
        """
        return self.env.context.uid("instance", index)

    def _element_of(self, tag: TagLike) -> DataElement | None:
        wanted = int(to_tag(tag))
        return next((element for (known, _), element in self.elements.items() if known == wanted), None)

    def __contains__(self, tag: TagLike) -> bool:
        return self._element_of(tag) is not None

    def __getitem__(self, tag: TagLike) -> DataElement:
        element = self._element_of(tag)
        if element is None:
            later = any(entry.element.tag == to_tag(tag) for entry in self.deferred)
            why = "is not settled before the image is there" if later else "is not in the header"
            raise KeyError(f"{describe(to_tag(tag))} {why}")
        return copy_of(element)

    def __iter__(self) -> Iterator[DataElement]:
        return iter([copy_of(self.elements[key]) for key in sorted(self.elements)])

    def __len__(self) -> int:
        return len(self.elements)


def make_header(env: SeriesEnvironment, blueprint: Blueprint, strategy: FillingStrategy) -> SeriesHeader:
    """Make a header by asking every element of the complete blueprint for its value.

    :raises HeaderError: tags have no value; the error lists all of them by keyword and number.
    """
    strategy, strategy_warnings = _strategy(env, blueprint, strategy)
    whole, warnings = complete(blueprint, strategy, env.parent)
    warnings += _volumes(env.parent)
    warnings += strategy_warnings
    env = replace(env, derivation=_derivation(env, whole))
    settled = settle(whole.entries(), lambda element: element.at_header(env))
    elements, missing = dict(settled.elements), list(settled.missing)
    deferred = [entry for entry in settled.deferred if int(entry.element.tag) not in PATIENT_AND_STUDY]
    later = {entry.element.key for entry in settled.deferred}
    for entry in whole.entries():
        element = entry.element
        if element.key in later and int(element.tag) in PATIENT_AND_STUDY:  # what comes later may not change them
            warnings.append(f"{element!r} is not used: {describe(element.tag)} is the parent's")
            value = parent_element(element.tag, env.parent)
            if value is not None:
                elements[element.key] = value
        elif element.key in settled.elements:
            warnings += _pivot_only(element, env.parent)
    if _SOP_CLASS not in elements and all(item.tag != _SOP_CLASS[0] for item in missing):
        missing.append(Missing(_SOP_CLASS[0], "SOPClassUID", "it must be settled before the image is there"))
    if missing:
        _refuse_other_modality(env, whole, blueprint.name, missing)
        raise HeaderError(missing, where=f"the header of {blueprint.name!r}")
    elements, changed = enforce_identity(elements, env.parent)
    return SeriesHeader(
        env=env,
        blueprint=whole,
        strategy=strategy,
        elements=MappingProxyType(elements),
        deferred=tuple(deferred),
        warnings=(*env.parent.warnings, *warnings, *changed),
    )


def _derivation(env: SeriesEnvironment, blueprint: Blueprint) -> str:
    """DerivationDescription, or the meaning of the first derivation code, if the header settles them; else empty."""
    for tag in ("DerivationDescription", "DerivationCodeSequence"):
        try:
            value = blueprint[tag].at_header(env) if tag in blueprint else ABSENT
        except LackingValue:
            continue
        content = value.value if isinstance(value, DataElement) else value
        if isinstance(content, str) and content:
            return content
        if isinstance(content, Sequence) and content and isinstance(content[0], Dataset):
            return str(content[0].get("CodeMeaning", ""))
    return ""


def _refuse_other_modality(env: SeriesEnvironment, blueprint: Blueprint, name: str, missing: list[Missing]) -> None:
    """Explain missing tags by the parent's modality or class, if that differs from the result's.

    :raises HeaderError: it differs.
    """
    element = blueprint[_SOP_CLASS[0]] if _SOP_CLASS[0] in blueprint else None
    if isinstance(element, ParentsClassElement) and any(item.tag == _SOP_CLASS[0] for item in missing):
        other: OtherModality | None = of_other_class(element.classes, env.parent)
        missing = [item for item in missing if item.tag == _SOP_CLASS[0]]  # what else is missing follows from it
    else:
        value = None if element is None else element.at_header(env)
        other = of_other_modality(str(getattr(value, "value", value)), env.parent.modality)
    if other is not None:
        raise HeaderError(missing, where=f"the blueprint {name!r} makes {other.what}: its header", remedy=other.remedy)


def _volumes(parent: ParentSeries) -> list[str]:
    """A warning that says by which attribute the volumes of a 4D parent were told apart."""
    if parent.volumes == 1:
        return []
    last = ", the last resort: nothing says what they are" if parent.volume_key == LAST_RESORT else ""
    return [f"4D: {parent.volumes} volumes by {parent.volume_key}{last}"]


def _strategy(
    env: SeriesEnvironment, blueprint: Blueprint, strategy: FillingStrategy
) -> tuple[FillingStrategy, list[str]]:
    """The strategy, and a warning: only images of the parent's kind can copy what the blueprint does not name."""
    if strategy is FillingStrategy.DISCARD or "SOPClassUID" not in blueprint:
        return strategy, []
    uid = blueprint["SOPClassUID"].at_header(env)
    if not sop_class(str(getattr(uid, "value", uid))).takes_nothing_unnamed:
        return strategy, []
    return FillingStrategy.DISCARD, [
        "FillingStrategy Copy is not used: the object has other attributes than the parent's images"
    ]


def _pivot_only(element: VirtualElement, parent: ParentSeries) -> list[str]:
    """A warning if one instance's value is copied to all although the instances differ."""
    if not isinstance(element, CopyElement) or isinstance(element, InstanceCopyElement | PositionCopyElement):
        return []
    if element.is_constant(parent):
        return []
    return [
        f"{element!r} copies the first instance's value, but the parent's instances differ in it: "
        "use InstanceCopyElement or PositionCopyElement"
    ]
