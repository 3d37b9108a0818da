"""Match: conditions on a series' tags, on what derived it, and on the numbers that came with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from derived_series.jobs.rules.patterns import searcher
from derived_series.json_model import JsonModel

Scalar = str | int | float

#: Names that a match may use besides DICOM tags: Orthanc's metadata of an instance, and the number of instances.
METADATA = ("RemoteAET", "CalledAET", "RemoteIP", "Origin", "HttpUsername")
COUNT = "InstancesCount"

#: Names about a derived series: the pipeline or blueprint that made it, and its output.
DERIVED, OUTPUT = "Derived", "Output"


class _Wish(JsonModel):
    """A condition on a value. A plain value is short for ``{"Equals": value}``, a list for ``{"In": list}``."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, condition: object) -> object:
        if isinstance(condition, list):
            return {"In": condition}
        return condition if isinstance(condition, dict | _Wish) else {"Equals": condition}

    @model_serializer(mode="wrap")
    def _as_written(self, write: SerializerFunctionWrapHandler) -> object:
        if self.model_fields_set in ({"equals"}, {"in_"}):
            return getattr(self, next(iter(self.model_fields_set)))
        return write(self)

    @model_validator(mode="after")
    def _says_something(self) -> _Wish:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            keys = [field.alias or name for name, field in type(self).model_fields.items()]
            raise ValueError(f"says nothing: give {', '.join(keys[:-1])} or {keys[-1]}")
        return self


class Condition(_Wish):
    """A condition on a text. ``"CT"`` is short for ``{"Equals": "CT"}``, ``["CT", "PT"]`` for ``{"In": ["CT", "PT"]}``.

    A value with several parts (``ORIGINAL\\\\PRIMARY``) matches as a whole or by any part. Numbers are compared as
    numbers, texts as texts (including dates and times).
    """

    equals: Scalar | None = None
    in_: Annotated[list[Scalar] | None, Field(alias="In", min_length=1)] = None
    regex: str | None = None
    min: Scalar | None = None
    max: Scalar | None = None
    exists: bool | None = None

    @field_validator("regex")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        searcher(pattern or "")
        return pattern

    @cached_property
    def has_match(self) -> Callable[[str], bool]:
        """A function that says whether a text matches its regular expression."""
        return searcher(self.regex or "")

    def __getstate__(self) -> dict[Any, Any]:
        """The state without the compiled expression, which another process compiles again."""
        state = super().__getstate__()
        return {**state, "__dict__": {name: each for name, each in state["__dict__"].items() if name != "has_match"}}

    @model_validator(mode="after")
    def _can_hold(self) -> Condition:
        low, high = self.min, self.max
        if low is not None and high is not None and _is_above(low, high):
            raise ValueError(f"no value is at least {low} and at most {high}")
        others = self.model_fields_set - {"exists"}
        if self.exists is False and any(getattr(self, name) is not None for name in others):
            raise ValueError("no value is missing and like something: give Exists alone")
        return self


def _is_above(low: Scalar, high: Scalar) -> bool:
    """Whether two comparable bounds leave nothing between them."""
    if isinstance(low, str) or isinstance(high, str):
        return isinstance(low, str) and isinstance(high, str) and low > high
    return low > high


class NumberCondition(_Wish):
    """A condition on a number that a pipeline returned with its series. ``3`` is short for ``{"Equals": 3}``.

    :ivar unit: its unit (UCUM), such as ``"ml"``: 30 mm3 are not 30 ml.
    """

    equals: float | None = None
    in_: Annotated[list[float] | None, Field(alias="In", min_length=1)] = None
    min: float | None = None
    max: float | None = None
    unit: Annotated[str, Field(min_length=1)] | None = None
    exists: bool | None = None

    @model_validator(mode="after")
    def _can_hold(self) -> NumberCondition:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no number is at least {self.min:g} and at most {self.max:g}")
        return self


class Match(JsonModel):
    """Conditions by tag (keyword or ``0008,0060``) or by a name of ``METADATA``; all of them must hold.

    ``All``, ``Any`` and ``Not`` contain further conditions.

    :ivar derived: the condition on the pipeline or blueprint that made the series.
    :ivar output: the condition on the name of that pipeline's output.
    :ivar values: the conditions on the numbers that it returned with its series, by name.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Condition]

    all: list[Match] = []
    any: Annotated[list[Match], Field(min_length=1)] | None = None
    not_: Annotated[Match | None, Field(alias="Not")] = None
    derived: Condition | None = None
    output: Condition | None = None
    values: Annotated[dict[str, NumberCondition], Field(min_length=1, max_length=32)] = {}

    @model_validator(mode="after")
    def _says_something(self) -> Match:
        if not self.conditions and not self.all and self.any is None and self.not_ is None and not self.values:
            raise ValueError('is empty and would match every series: name a tag, such as "Modality": "CT"')
        return self

    @property
    def conditions(self) -> Mapping[str, Condition]:
        """The conditions on texts, by name."""
        of_derived = {DERIVED: self.derived, OUTPUT: self.output}
        return {**(self.__pydantic_extra__ or {}), **{name: each for name, each in of_derived.items() if each}}

    @property
    def inner(self) -> list[Match]:
        """The further conditions, one level down."""
        return [*self.all, *(self.any or ()), *([self.not_] if self.not_ else [])]

    @property
    def asks_for_derived(self) -> bool:
        """Whether only series that were derived here can match."""
        named = (self.derived, self.output, *self.values.values())
        return any(each is not None and each.exists is not False for each in named) or any(
            each.asks_for_derived for each in self.all
        )

    def each_condition(self) -> Iterator[tuple[str, Condition]]:
        """All conditions on tags and metadata with their names, at all levels."""
        yield from self.conditions.items()
        for inner in self.inner:
            yield from inner.each_condition()

    def each_number(self) -> Iterator[tuple[str, NumberCondition]]:
        """All conditions on numbers with their names, at all levels."""
        yield from self.values.items()
        for inner in self.inner:
            yield from inner.each_number()
