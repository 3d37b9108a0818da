"""Rule: what to do with which series when they become stable; ``"Rules"`` in the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator
from pydantic.alias_generators import to_pascal

from derived_series.jobs.requests.derive import DeriveRequest, Name
from derived_series.jobs.rules.series_conditions import Match
from derived_series.json_model import JsonModel

#: Keys of a derivation that a rule sets itself, with the reason.
_SETTLED = {
    "image": "a rule has no image",
    "inputs": 'name them in the rule: "Inputs": {"ct": {"Modality": "CT"}, "pet": {"Modality": "PT"}}',
    "dry_run": "POST /derived-series/rules/simulate shows what would fire",
    "synchronous": "nobody waits for a rule",
    "asynchronous": "nobody waits for a rule",
    "user": "a rule has no user: the audit trail names the rule",
    "if_exists": 'say it in the rule: "IfMoreInstances": "Replace" or "New"',
}

#: The most seconds that a rule may wait for a study: 30 days.
_MOST_SECONDS = 30 * 86400

#: The largest depth, which is also the default of matches that ask for derived series.
_MOST_STEPS = 100

#: Keys of a rule that must not be combined with SendTo.
_OF_DERIVE = ("inputs", "priors", "optional", "same", "wait_for", "if_more_instances")


def _of_rule(asked: DeriveRequest) -> DeriveRequest:
    """Refuse keys that a rule sets itself. :raises ValueError: there are some."""
    wrong = [f"leave out {to_pascal(key)}: {why}" for key, why in _SETTLED.items() if key in asked.model_fields_set]
    if wrong:
        raise ValueError("; ".join(wrong))
    return asked


class Expected(Match):
    """Series that a study should have. :ivar count: the least number of them."""

    count: Annotated[int, Field(ge=1, le=1000)] = 1


class OtherDerivation(JsonModel):
    """What a rule derives if the study is not complete in time. :ivar derive: like that of the rule."""

    derive: DeriveRequest

    @field_validator("derive")
    @classmethod
    def _leaves_the_rest(cls, asked: DeriveRequest) -> DeriveRequest:
        return _of_rule(asked)


def _form(otherwise: object) -> str:
    return "<derivation>" if isinstance(otherwise, dict | OtherDerivation) else "<word>"


class WaitFor(JsonModel):
    """The series that a study must have before a rule fires.

    :ivar series: the stable series that the study must have, by name. A series counts wherever it fits.
    :ivar seconds: how long to wait once the first of them, or of the rule's inputs, is stable.
    :ivar otherwise: what to do then: ``"Run"`` with the series that exist, ``"Nothing"``, ``"Fail"`` (a failed job that
        says what is missing), or another derivation.
    """

    series: Annotated[dict[Name, Expected], Field(min_length=1, max_length=32)]
    seconds: Annotated[float, Field(gt=0, le=_MOST_SECONDS)]
    otherwise: Annotated[
        Annotated[Literal["Run", "Nothing", "Fail"], Tag("<word>")] | Annotated[OtherDerivation, Tag("<derivation>")],
        Discriminator(_form),
    ] = "Fail"


class Rule(JsonModel):
    """A rule, which fires once for the series that it matches, when they are stable.

    :ivar name: its name in the log of firings; after renaming, a rule has not fired for anything yet.
    :ivar match: the match of a rule with one input.
    :ivar inputs: the matches of a rule with several inputs, by input of the pipeline; the series are of one study.
    :ivar priors: matches by input; each prior is of the latest earlier study of the patient that has one.
    :ivar optional: the names of inputs and priors without which it also fires.
    :ivar same: tags that must have the same value in all inputs.
    :ivar wait_for: the series that the study must have before it fires.
    :ivar derive: the JSON of ``POST /series/{id}/derive``.
    :ivar send_to: destinations to send a derived series to, instead of a derivation.
    :ivar hold_until_accepted: whether these wait for a reviewer's "Accept"; None: as in the configuration.
    :ivar max_depth: the most derivation steps between an input and a series that was not derived; None: 0 unless the
        match asks for a derived one.
    :ivar if_more_instances: what happens to its earlier result when it fires again for more instances.
    """

    name: Name
    match: Match | None = None
    inputs: Annotated[dict[Name, Match], Field(max_length=8)] | None = None
    priors: Annotated[dict[Name, Match], Field(max_length=8)] = {}
    optional: list[Name] = []
    same: list[Name] = []
    wait_for: WaitFor | None = None
    derive: DeriveRequest | None = None
    send_to: Annotated[list[Name], Field(min_length=1, max_length=16)] | None = None
    hold_until_accepted: bool | None = None
    max_depth: Annotated[int, Field(ge=0, le=_MOST_STEPS)] | None = None
    if_more_instances: Literal["Replace", "New"] = "Replace"

    @field_validator("derive")
    @classmethod
    def _leaves_the_rest(cls, asked: DeriveRequest | None) -> DeriveRequest | None:
        return None if asked is None else _of_rule(asked)

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if (self.derive is None) == (self.send_to is None):
            raise ValueError("give either Derive, what is derived, or SendTo, where a derived series is sent")
        if self.derive is None:
            self._check_sending()
        elif self.hold_until_accepted is not None:
            raise ValueError('HoldUntilAccepted is of SendTo: in "Derive" it stands beside its Destinations')
        if (self.match is None) == (self.inputs is None):
            raise ValueError("give either Match, for one input, or Inputs, for several")
        if self.inputs is not None and len(self.inputs) < 2:
            raise ValueError(
                '"Inputs" is for two inputs or more beside Priors: give the conditions of the one as "Match"'
            )
        if self.inputs is None and self.same:
            raise ValueError('"Same" needs at least two "Inputs"')
        if self.inputs is not None and self.derive is not None and self.derive.pipeline is None:
            raise ValueError("several Inputs are for a Pipeline; Derive has none")
        if self.max_depth == 0 and any(match.asks_for_derived for match in self._matches()):
            raise ValueError("MaxDepth 0 leaves out derived series, which Derived, Output and Values ask for")
        self._check_priors()
        return self

    def _check_sending(self) -> None:
        wrong = [to_pascal(key) for key in _OF_DERIVE if key in self.model_fields_set]
        if wrong:
            raise ValueError(f"SendTo is for one series, as it is: leave out {', '.join(wrong)}")
        if self.match is not None and not self.match.asks_for_derived:
            raise ValueError('SendTo is for derived series: name in Match what made them, such as "Derived": "nodules"')

    def _check_priors(self) -> None:
        inputs = self.inputs or {}
        retrieve = {} if self.derive is None else self.derive.retrieve
        if self.priors and self.derive is not None and self.derive.pipeline is None:
            raise ValueError("Priors are for a Pipeline; Derive has none")
        if both := sorted(set(self.priors) & {*inputs, *retrieve}):
            raise ValueError(f"Priors and Inputs, or Retrieve, both name {', '.join(both)}")
        if unknown := sorted(set(self.optional) - {*inputs, *self.priors}):
            raise ValueError(f"Optional names {', '.join(unknown)}, which is in neither Inputs nor Priors")
        if inputs and set(inputs) <= set(self.optional):
            raise ValueError("Optional names all Inputs; one at least is needed")

    @property
    def wanted(self) -> Mapping[str, Match]:
        """The matches by input; the input of a rule with a single one has an empty name."""
        return self.inputs if self.inputs is not None else {"": self.match} if self.match is not None else {}

    @property
    def expected(self) -> Mapping[str, Expected]:
        """The series that the study must have before it fires, by name."""
        return self.wait_for.series if self.wait_for is not None else {}

    @property
    def derivations(self) -> list[DeriveRequest]:
        """All derivations that it may request."""
        otherwise = None if self.wait_for is None else self.wait_for.otherwise
        other = [otherwise.derive] if isinstance(otherwise, OtherDerivation) else []
        return [*([] if self.derive is None else [self.derive]), *other]

    def deepest(self, match: Match) -> int:
        """The most derivation steps of a series for one of its matches."""
        if self.max_depth is not None:
            return self.max_depth
        return _MOST_STEPS if match.asks_for_derived else 0

    def _matches(self) -> list[Match]:
        return [*self.wanted.values(), *self.priors.values(), *self.expected.values()]

    def names(self) -> set[str]:
        """All names of tags and metadata that it uses."""
        return {name for match in self._matches() for name, _ in match.each_condition()} | set(self.same)

    def patterns(self) -> set[str]:
        """All regular expressions that it uses."""
        regexes = (each.regex for match in self._matches() for _, each in match.each_condition())
        return {pattern for pattern in regexes if pattern is not None}

    def to_json(self) -> dict[str, Any]:
        """The rule as written in the configuration."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def check_names(rules: Sequence[Rule]) -> None:
    """Require unique names. :raises ValueError: several rules have one name."""
    names = [rule.name for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"several rules are named {', '.join(map(repr, twice))}")
