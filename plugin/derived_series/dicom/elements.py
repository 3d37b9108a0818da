"""Virtual elements: how the value of one tag of the derived series comes about.

An element is a value: it is never changed after it was made and remembers nothing of a build, so that
blueprints can be shared by threads and patients. All that varies is in the environment of a build.

A build asks each element in three phases, and an element that does not know yet says ``DEFER``:
``at_header`` (parent and factory known), ``at_image`` (image known), ``at_instance`` (once a slice).
What an element answers is a value (None: present but empty), a pydicom DataElement, ``ABSENT`` or ``DEFER``.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, TypeAlias, cast

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag

from derived_series.dicom.environment import ImageEnvironment, InstanceEnvironment, SeriesEnvironment
from derived_series.dicom.tags import TagLike, describe, require_vr, to_tag
from derived_series.errors import BlueprintError, DerivedSeriesError, UserCodeError

#: The creator of private elements for which no other is named.
DEFAULT_CREATOR = "DERIVED SERIES"


class Answer(Enum):
    """Answers that are no value."""

    ABSENT = "absent"
    DEFER = "defer"


ABSENT: Final = Answer.ABSENT
DEFER: Final = Answer.DEFER
_UNSET: Final = object()

Value: TypeAlias = Any


class LackingValue(Exception):
    """Raised by an element that has no value to give; the header collects all of them in one error."""


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
        found = to_tag(tag)
        if found.is_private_creator:
            raise BlueprintError(
                f"{describe(found)} is a private creator: the block of a private tag is written with it",
                remedy='name the creator on the element: StaticElement(0x00091001, "LO", "x", creator="ACME")',
            )
        if creator is not None and not found.is_private:
            raise BlueprintError(f"{describe(found)} is no private tag and has no creator ({creator!r})")
        self._set(tag=found, VR=VR, creator=(creator or DEFAULT_CREATOR) if found.is_private else "")

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
        """What a blueprint keeps the element under: the tag, and the creator of a private one."""
        return (int(self.tag), self.creator)

    def describe(self) -> str:
        """The part of ``repr`` that tells where the value comes from."""
        return ""

    def __repr__(self) -> str:
        parts = [describe(self.tag)]
        parts += [f"creator={self.creator!r}"] if self.creator else []
        parts += [self.describe()] if self.describe() else []
        return f"{type(self).__name__}({', '.join(parts)})"

    def at_header(self, env: SeriesEnvironment) -> Value:
        return DEFER

    def at_image(self, env: ImageEnvironment) -> Value:
        return DEFER

    def at_instance(self, env: InstanceEnvironment) -> Value:
        raise NotImplementedError

    def data_element(self, value: Value) -> DataElement:
        """The pydicom element for a value; one that is shared with nothing else.

        :raises BlueprintError: a value that the VR does not allow.
        """
        if isinstance(value, DataElement):
            found = copy.deepcopy(value)
            if found.tag != self.tag:
                found = DataElement(
                    self.tag, found.VR, found.value, validation_mode=config.IGNORE, already_converted=True
                )
            return found
        vr = require_vr(self.tag, self.VR, type(self).__name__)
        try:
            if vr == "SQ":
                return DataElement(self.tag, vr, DicomSequence(copy.deepcopy(list(value or []))))
            return DataElement(self.tag, vr, copy.deepcopy(value), validation_mode=config.RAISE)
        except (ValueError, TypeError, OverflowError) as error:
            raise BlueprintError(f"{self!r}: {value!r} is no value for VR {vr}: {error}") from error


class StaticElement(VirtualElement):
    """A value that is known when the blueprint is written.

    ``StaticElement(0x0008103E, "LO", "Smoothed")`` or ``StaticElement("SeriesDescription", "Smoothed")``.
    """

    value: Value

    def __init__(
        self,
        tag: TagLike,
        VR: Value = None,
        value: Value = _UNSET,
        name: str | None = None,
        *,
        creator: str | None = None,
    ):
        if value is _UNSET:
            VR, value = None, VR
        super().__init__(tag, VR, creator)
        self._set(value=copy.deepcopy(value))
        self.data_element(value)  # a wrong value is told where it is written, not in the first build

    def describe(self) -> str:
        return repr(self.value)

    def at_header(self, env: SeriesEnvironment) -> Value:
        return self.value


class DiscardElement(VirtualElement):
    """The tag is not in the derived series, whatever the filling strategy."""

    def at_header(self, env: SeriesEnvironment) -> Value:
        return ABSENT


class AttributeElement(VirtualElement):
    """The value of an attribute of the factory: ``AttributeElement("OperatorsName", "PN", "operator")``."""

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


class _CallingElement(VirtualElement):
    """An element whose value is a function's; the function is checked when the element is made."""

    func: Callable[..., Value]

    def __init__(
        self,
        tag: TagLike,
        VR: Any = None,
        func: Any = None,
        name: str | None = None,
        *,
        creator: str | None = None,
    ):
        if func is None:
            VR, func = None, VR
        super().__init__(tag, VR, creator)
        if not callable(func):
            raise BlueprintError(f"{type(self).__name__} for {describe(self.tag)}: {func!r} cannot be called")
        self._set(func=func)

    def describe(self) -> str:
        return getattr(self.func, "__qualname__", None) or repr(self.func)

    def _call(self, *arguments: object) -> Value:
        try:
            return self.func(*arguments)
        except DerivedSeriesError:
            raise
        except Exception as error:  # user code: any exception, named with its element
            raise UserCodeError(f"{self!r} raised {type(error).__name__}: {error}") from error


class SeriesElement(_CallingElement):
    """A function that is evaluated once and whose value all instances share.

    Calling convention: a function that can be called without arguments is; any other is called with one, the
    parent's pivot (its first instance along the normal, a pydicom Dataset). Bound methods, partials,
    classes and callable objects are functions like any other.
    """

    _with_pivot: bool

    def __init__(
        self,
        tag: TagLike,
        VR: Any = None,
        func: Any = None,
        name: str | None = None,
        *,
        creator: str | None = None,
    ):
        super().__init__(tag, VR, func, name, creator=creator)
        plain, with_pivot = _accepts(self.func, 0), _accepts(self.func, 1)
        if not plain and not with_pivot:
            raise BlueprintError(f"{self!r}: the function must be callable with nothing or with the pivot Dataset")
        self._set(_with_pivot=not plain)

    def at_header(self, env: SeriesEnvironment) -> Value:
        return self._call(env.pivot) if self._with_pivot else self._call()


class HeaderElement(_CallingElement):
    """A function of the SeriesEnvironment, evaluated once, when the header is made."""

    func: Callable[[SeriesEnvironment], Value]

    def at_header(self, env: SeriesEnvironment) -> Value:
        return self._call(env)


class ImageElement(_CallingElement):
    """A function of the ImageEnvironment, evaluated once, when the image is known (encoding, window, grid)."""

    func: Callable[[ImageEnvironment], Value]

    def at_image(self, env: ImageEnvironment) -> Value:
        return self._call(env)


class InstanceVirtualElement(VirtualElement):
    """Base of the elements whose value differs from instance to instance."""


class FunctionalElement(_CallingElement, InstanceVirtualElement):
    """A function of the InstanceEnvironment, evaluated for every instance.

    Calling convention: the function is called with the environment, its only argument.
    """

    func: Callable[[InstanceEnvironment], Value]

    def __init__(
        self,
        tag: TagLike,
        VR: Any = None,
        func: Any = None,
        name: str | None = None,
        *,
        creator: str | None = None,
    ):
        super().__init__(tag, VR, func, name, creator=creator)
        if not _accepts(self.func, 1):
            raise BlueprintError(
                f"{self!r}: the function must be callable with one argument, the InstanceEnvironment",
                remedy="wrap it: lambda env: function()",
            )

    def at_instance(self, env: InstanceEnvironment) -> Value:
        return self._call(env)


def _accepts(func: Callable[..., Value], count: int) -> bool:
    """Whether ``func`` can be called with ``count`` positional arguments."""
    try:
        signature = inspect.signature(func)
    except (ValueError, TypeError):  # some builtins tell nothing: believe the caller
        return True
    try:
        signature.bind(*[cast(object, None)] * count)
    except TypeError:
        return False
    return True
