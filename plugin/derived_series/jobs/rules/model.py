"""Rules: what is derived from which series as soon as they are stable; ``"Rules"`` in the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_pascal

from derived_series.jobs.requests.derive import DeriveRequest, Name
from derived_series.json_model import JsonModel

Scalar = str | int | float

#: Names that a match may use beside DICOM tags: Orthanc's metadata of an instance, and the number of instances.
METADATA = ("RemoteAET", "CalledAET", "RemoteIP", "Origin", "HttpUsername")
COUNT = "InstancesCount"

#: Keys of a derivation that a rule settles itself.
_SETTLED = {
    "image": "a rule has no image",
    "inputs": 'name them in the rule: "Inputs": {"ct": {"Modality": "CT"}, "pet": {"Modality": "PT"}}',
    "dry_run": "POST /derived-series/rules/simulate shows what would fire",
    "synchronous": "nobody waits for a rule",
    "asynchronous": "nobody waits for a rule",
    "user": "a rule has no user: the audit trail names the rule",
    "if_exists": 'say it in the rule: "IfMoreInstances": "Replace" or "New"',
}


class Condition(JsonModel):
    """What a value must be. ``"CT"`` is short for ``{"Equals": "CT"}``, ``["CT", "PT"]`` for ``{"In": ["CT", "PT"]}``.

    A value of several parts (``ORIGINAL\\\\PRIMARY``) fits as a whole or by any of its parts. Numbers are compared as
    numbers, texts as texts (so dates and times, too).
    """

    equals: Scalar | None = None
    in_: Annotated[list[Scalar] | None, Field(alias="In", min_length=1)] = None
    regex: str | None = None
    min: Scalar | None = None
    max: Scalar | None = None
    exists: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, condition: object) -> object:
        if isinstance(condition, list):
            return {"In": condition}
        return condition if isinstance(condition, dict | Condition) else {"Equals": condition}

    @field_validator("regex")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from error
        return pattern

    @model_serializer(mode="wrap")
    def _as_written(self, write: SerializerFunctionWrapHandler) -> object:
        if self.model_fields_set == {"equals"}:
            return self.equals
        return self.in_ if self.model_fields_set == {"in_"} else write(self)

    @model_validator(mode="after")
    def _says_something(self) -> Condition:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("says nothing: give Equals, In, Regex, Min, Max or Exists")
        return self


class Match(JsonModel):
    """Conditions by tag (keyword or ``0008,0060``) or by a name of ``METADATA``; all of them must hold.

    ``All``, ``Any`` and ``Not`` hold further ones.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Condition]

    all: list[Match] = []
    any: Annotated[list[Match], Field(min_length=1)] | None = None
    not_: Annotated[Match | None, Field(alias="Not")] = None

    @model_validator(mode="after")
    def _says_something(self) -> Match:
        if not self.conditions and not self.all and self.any is None and self.not_ is None:
            raise ValueError('is empty and would match every series: name a tag, such as "Modality": "CT"')
        return self

    @property
    def conditions(self) -> Mapping[str, Condition]:
        return self.__pydantic_extra__ or {}

    def each_condition(self) -> Iterator[tuple[str, Condition]]:
        """All names of tags and metadata with their conditions, those further down included."""
        yield from self.conditions.items()
        for inner in (*self.all, *(self.any or ()), *([self.not_] if self.not_ else [])):
            yield from inner.each_condition()


class Rule(JsonModel):
    """Fires once for the series that it matches, when they are stable.

    :ivar name: its name in the log of what fired; a rule with another name has fired for nothing yet.
    :ivar match: of a rule of one input.
    :ivar inputs: of a rule of several: input of the pipeline -> match; the series are of one study.
    :ivar priors: input -> match; each is of the latest study of the patient before that of the others that has one.
    :ivar optional: names of inputs and priors without which it fires, too.
    :ivar same: tags that have the same value in all inputs.
    :ivar derive: the JSON of ``POST /series/{id}/derive``.
    :ivar max_depth: the most steps of derivation that an input may be away from a series that was not derived.
    :ivar if_more_instances: what becomes of its earlier result when it fires again for more instances.
    """

    name: Name
    match: Match | None = None
    inputs: Annotated[dict[Name, Match], Field(max_length=8)] | None = None
    priors: Annotated[dict[Name, Match], Field(max_length=8)] = {}
    optional: list[Name] = []
    same: list[Name] = []
    derive: DeriveRequest
    max_depth: Annotated[int, Field(ge=0, le=100)] = 0
    if_more_instances: Literal["Replace", "New"] = "Replace"

    @field_validator("derive")
    @classmethod
    def _leaves_the_rest(cls, asked: DeriveRequest) -> DeriveRequest:
        wrong = [f"leave out {to_pascal(key)}: {why}" for key, why in _SETTLED.items() if key in asked.model_fields_set]
        if wrong:
            raise ValueError("; ".join(wrong))
        return asked

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if (self.match is None) == (self.inputs is None):
            raise ValueError("give either Match, for one input, or Inputs, for several")
        if self.inputs is not None and len(self.inputs) < 2:
            raise ValueError(
                '"Inputs" is for two inputs or more beside Priors: give the conditions of the one as "Match"'
            )
        if self.inputs is None and self.same:
            raise ValueError('"Same" needs at least two "Inputs"')
        if self.inputs is not None and self.derive.pipeline is None:
            raise ValueError("several Inputs are for a Pipeline; Derive has none")
        self._check_priors()
        return self

    def _check_priors(self) -> None:
        inputs = self.inputs or {}
        if self.priors and self.derive.pipeline is None:
            raise ValueError("Priors are for a Pipeline; Derive has none")
        if both := sorted(set(self.priors) & {*inputs, *self.derive.retrieve}):
            raise ValueError(f"Priors and Inputs, or Retrieve, both name {', '.join(both)}")
        if unknown := sorted(set(self.optional) - {*inputs, *self.priors}):
            raise ValueError(f"Optional names {', '.join(unknown)}, which is in neither Inputs nor Priors")
        if inputs and set(inputs) <= set(self.optional):
            raise ValueError("Optional names all Inputs; one at least is needed")

    @property
    def wanted(self) -> Mapping[str, Match]:
        """Input -> match; the input of a rule with one has an empty name."""
        return self.inputs if self.inputs is not None else {"": self.match} if self.match is not None else {}

    def _matches(self) -> list[Match]:
        return [*self.wanted.values(), *self.priors.values()]

    def names(self) -> set[str]:
        """All names of tags and metadata that it looks at."""
        return {name for match in self._matches() for name, _ in match.each_condition()} | set(self.same)

    def patterns(self) -> set[str]:
        """All regular expressions; some take for ever to find that there is no match."""
        regexes = (each.regex for match in self._matches() for _, each in match.each_condition())
        return {pattern for pattern in regexes if pattern is not None}

    def to_json(self) -> dict[str, Any]:
        """As it was written in the configuration."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def repeated(rules: list[Rule]) -> list[str]:
    """Names that several rules have."""
    names = [rule.name for rule in rules]
    return sorted({name for name in names if names.count(name) > 1})
