"""Virtual elements: each decides the value of one tag of the derived series.

Elements are immutable and keep nothing of a build, so threads and patients can share a blueprint. Everything that
varies is in the environment of a build.

A build asks each element in up to three phases, and an element that cannot answer yet returns ``DEFER``:
``at_header`` (parent and factory known), ``at_image`` (image known) and ``at_instance`` (once for each slice). The
answer is a value (None: present but empty), a pydicom DataElement or ``ABSENT``.
"""

from __future__ import annotations

from datetime import date, time
from enum import Enum
from typing import Any, Final, TypeAlias

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag
from pydicom.valuerep import STR_VR, PersonName

from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment, SeriesEnvironment
from derived_series.dicom.encoding.read_errors import reading
from derived_series.dicom.encoding.tags import VRS, TagLike, describe, dictionary_vr, require_vr, to_tag
from derived_series.dicom.encoding.value_rules import given_problem, item_problems
from derived_series.dicom.source.detached import copy_of, copy_of_value
from derived_series.errors import BlueprintError, InvalidValue

#: The creator of private elements that name no other.
DEFAULT_CREATOR = "DERIVED SERIES"


class Answer(Enum):
    """Answers that are not values."""

    ABSENT = "absent"
    DEFER = "defer"


ABSENT: Final = Answer.ABSENT
DEFER: Final = Answer.DEFER
_UNSET: Final = object()
#: The Python types of the VRs whose values pydicom checks only when it writes them.
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(STR_VR - {"DS", "IS"}, (str,)),
    **dict.fromkeys(("DA", "DT", "TM"), (str, date, time)),
    "PN": (str, PersonName),
}
#: RescaleType and ModalityLUTType, whose text (LO) may be two letters.
_UNITS: Final = (0x00281054, 0x00283004)

Value: TypeAlias = Any


class LackingValue(Exception):
    """Raised by an element that has no value; the header collects all of them in one error."""


class VirtualElement:
    """Base of all elements.

    :param tag: int, keyword, pair or pydicom tag.
    :param VR: value representation; the dictionary's (PS3.6) when not given.
    :param creator: the private creator, for private tags only.
    """

    tag: BaseTag
    VR: str | None
    creator: str

    def __init__(self, tag: TagLike, VR: str | None = None, creator: str | None = None):
        base_tag = to_tag(tag)
        if base_tag.is_private_creator:
            raise BlueprintError(
                f"{describe(base_tag)} is a private creator: the block of a private tag is written with it",
                remedy='name the creator on the element: StaticElement(0x00091001, "LO", "x", creator="ACME")',
            )
        if creator is not None and not base_tag.is_private:
            raise BlueprintError(f"{describe(base_tag)} is not a private tag and has no creator ({creator!r})")
        if VR is not None and (not isinstance(VR, str) or VR not in VRS):
            raise BlueprintError(
                f"{type(self).__name__} for {describe(base_tag)}: {VR!r} is not a VR",
                remedy='a VR is two letters such as "LO"; flags such as Optional are given by name: Optional=True',
            )
        self._set(
            tag=base_tag,
            VR=VR or dictionary_vr(base_tag),
            creator=(creator or DEFAULT_CREATOR) if base_tag.is_private else "",
        )

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; make a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; make a new one")

    def __copy__(self) -> VirtualElement:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> VirtualElement:
        return self

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), self.tag, self.creator))

    @property
    def key(self) -> tuple[int, str]:
        """The key of the element in a blueprint: its tag and private creator."""
        return (int(self.tag), self.creator)

    def describe(self) -> str:
        """The part of ``repr`` that says where the value comes from."""
        return ""

    def __repr__(self) -> str:
        parts = [describe(self.tag)]
        parts += [f"creator={self.creator!r}"] if self.creator else []
        parts += [self.describe()] if self.describe() else []
        return f"{type(self).__name__}({', '.join(parts)})"

    def over(self, former: VirtualElement) -> VirtualElement:
        """The element that counts when a blueprint with this one is added to one with ``former``: this one."""
        return self

    def at_header(self, env: SeriesEnvironment) -> Value:
        """The answer when the parent and the factory are known, and no image yet.

        :return: a value, a DataElement, ``ABSENT``, or ``DEFER`` to be asked again with the image.
        """
        return DEFER

    def at_image(self, env: ImageEnvironment) -> Value:
        """The answer when the image and its place are known, for all instances.

        :return: as for ``at_header``; ``DEFER`` to be asked again for each instance.
        """
        return DEFER

    def at_instance(self, env: InstanceEnvironment) -> Value:
        """The answer for one instance.

        :return: a value, a DataElement or ``ABSENT``.
        """
        raise NotImplementedError

    def encode_instance(self, env: InstanceEnvironment) -> bytes | None:
        """The element encoded for an instance in explicit VR little endian, if there is a quick way; else None.

        The bytes must equal the encoding of ``data_element(at_instance(env))``.
        """
        return None

    @property
    def encodes_itself(self) -> bool:
        """Whether its class overrides ``encode_instance``: then its values need no check."""
        return type(self).encode_instance is not VirtualElement.encode_instance

    def data_element(self, value: Value) -> DataElement:
        """A new pydicom element with a value.

        :raises InvalidValue: the VR does not allow the value.
        """
        if isinstance(value, DataElement):
            element = copy_of(value)
            if element.VR == "SQ":
                _converted(element)
            return element if element.tag == self.tag else self._moved(element)
        vr = require_vr(self.tag, self.VR, type(self).__name__)
        try:
            if vr == "SQ":
                return _converted(DataElement(self.tag, vr, DicomSequence(copy_of_value(list(value or [])))))
            if any(isinstance(v, bool) for v in _as_list(value)):
                raise TypeError("no VR has truth values")
            problem = given_problem(self.tag, vr, value)
            if problem is not None:
                raise ValueError(problem)
            allowed = _TYPES.get(vr)
            if allowed is not None and not all(isinstance(v, allowed) for v in _as_list(value)):
                raise TypeError("it takes " + " or ".join(kind.__name__ for kind in allowed))
            return DataElement(self.tag, vr, copy_of_value(value), validation_mode=config.RAISE)
        except (ValueError, TypeError, OverflowError) as error:
            why = str(error).split(" Please see")[0]
            raise InvalidValue(f"{self!r}: {value!r} is not a value for VR {vr}: {why}") from error

    def _moved(self, element: DataElement) -> DataElement:
        """An element of another tag as one of this tag and VR."""
        vr = self.VR or dictionary_vr(self.tag) or element.VR
        if vr == element.VR:
            return DataElement(self.tag, vr, element.value, validation_mode=config.IGNORE, already_converted=True)
        values = [] if element.is_empty else list(element.value) if element.VM > 1 else [element.value]
        if vr in STR_VR:
            values = [str(value) for value in values]
        return self.data_element(values[0] if len(values) == 1 else values or None)


def _as_list(value: Value) -> list[Value]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | MultiValue) else [value]


def _converted(sequence: DataElement) -> DataElement:
    """Convert the raw elements of a sequence, which would be written unchanged in the parent's character set."""
    with reading(describe(sequence.tag)):
        for item in sequence.value or []:
            item.walk(lambda dataset, element: None)
    return sequence


def _require_value(tag: BaseTag, value: Value) -> None:
    """Refuse a StaticElement without a value. :raises BlueprintError: it has a tag alone, or a tag and a VR."""
    # Modality "US" and RescaleType "US" or "OD" are values that look like VRs
    is_short_text = (dictionary_vr(tag) == "CS" or tag in _UNITS) and value != dictionary_vr(tag)
    if value is _UNSET or (isinstance(value, str) and value in VRS and not is_short_text):
        value_text = "" if value is _UNSET else f", {value!r}"
        vr = dictionary_vr(tag) or "LO"
        raise BlueprintError(
            f"StaticElement({describe(tag)}{value_text}) has no value",
            remedy=f'write StaticElement(tag, "{vr}", value), or StaticElement(tag, value=None) for an empty one',
        )


class StaticElement(VirtualElement):
    """Sets a fixed value.

    ``StaticElement(0x0008103E, "LO", "Smoothed")`` or ``StaticElement("SeriesDescription", "Smoothed")``.
    """

    _value: Value

    def __init__(
        self,
        tag: TagLike,
        VR: Value = _UNSET,
        value: Value = _UNSET,
        name: str | None = None,
        *,
        creator: str | None = None,
    ):
        if value is _UNSET:
            VR, value = None, VR
            _require_value(to_tag(tag), value)
        elif VR is _UNSET:
            VR = None
        super().__init__(tag, VR, creator)
        self._set(_value=copy_of_value(value))
        element = self.data_element(value)  # a wrong value is reported where it is written, not in the first build
        problem = next(item_problems(element.value or ()), None) if element.VR == "SQ" else None
        if problem is not None:
            raise BlueprintError(f"{describe(self.tag)}: {problem}")

    @property
    def value(self) -> Value:
        """A copy of the value, since lists and items can be changed."""
        return copy_of_value(self._value)

    def describe(self) -> str:
        return f"{len(self._value or [])} item(s)" if self.VR == "SQ" else repr(self._value)

    def at_header(self, env: SeriesEnvironment) -> Value:
        return self._value


class DiscardElement(VirtualElement):
    """Leaves the tag out of the derived series, whatever the filling strategy."""

    def at_header(self, env: SeriesEnvironment) -> Value:
        return ABSENT


class AttributeElement(VirtualElement):
    """Reads an attribute of the factory: ``AttributeElement("OperatorsName", "PN", "operator")``."""

    attribute: str

    def __init__(
        self, tag: TagLike, VR: str | None = None, attribute: str | None = None, *, creator: str | None = None
    ):
        if attribute is None:
            VR, attribute = None, VR
        if not isinstance(attribute, str):
            raise BlueprintError(f"AttributeElement for {describe(to_tag(tag))} names no attribute of the factory")
        super().__init__(tag, VR, creator)
        self._set(attribute=attribute)

    def describe(self) -> str:
        return f"factory.{self.attribute}"

    def at_header(self, env: SeriesEnvironment) -> Value:
        value = getattr(env.factory, self.attribute, _UNSET)
        if value is _UNSET:
            raise LackingValue(f"{type(env.factory).__name__} has no attribute {self.attribute!r}")
        return value.value if isinstance(value, Enum) else value


class InstanceVirtualElement(VirtualElement):
    """Base of the elements whose value differs from instance to instance."""
