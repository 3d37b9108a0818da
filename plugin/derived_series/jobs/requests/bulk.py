"""BulkRequest: a request for a run over many series, the JSON body of ``POST /derived-series/bulk``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, field_validator, model_validator
from pydantic.alias_generators import to_pascal

from derived_series.errors import InvalidRequest
from derived_series.jobs.hours import Window
from derived_series.jobs.requests.derive import DeriveRequest, Name, OrthancId, PersonName, known_keys, validated
from derived_series.json_model import JsonModel

#: The default priority of a run's jobs, below that of single requests.
PRIORITY = -100

#: The documentation page with the keys of a run.
BULK_KEYS_IN = "docs/bulk.md"

#: The most series or studies that a request can list.
_MOST_RESOURCES = 10_000

#: The most members that one answer of a dry run checks.
_MOST_LOOKED_AT = 500

#: Keys of a derivation that a run over many series cannot have.
_OF_ONE_SERIES = ("Image", "Inputs", "Preview", "Synchronous", "Asynchronous", "Timeout")
_SEVERAL = "name one of Query, Resources, Again and Compare"


class BulkQuery(JsonModel):
    """A query as for Orthanc's ``/tools/find``. :ivar query: values by tag, with ``*`` and ``?``; ranges of dates."""

    level: Literal["Patient", "Study", "Series"] = "Study"
    query: dict[Name, Annotated[str, Field(max_length=1024)]] = {}
    labels: Annotated[list[Name], Field(max_length=100)] = []
    labels_constraint: Literal["All", "Any", "None"] = "All"
    case_sensitive: bool = False


class Again(JsonModel):
    """Selects series that a former version of a pipeline has made.

    :ivar version: the SHA-256 of its code or the beginning of it; None: any but the present one.
    :ivar older_than: only series made before this time (ISO 8601).
    """

    pipeline: Name
    version: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")] | None = None
    older_than: str | None = None

    @field_validator("older_than")
    @classmethod
    def _is_a_time(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                datetime.fromisoformat(text)
            except ValueError as error:
                raise ValueError("a time such as 2024-05-31T20:00:00 is expected") from error
        return text


class Pair(JsonModel):
    """A parent, and the reference for its derived series."""

    parent: OrthancId
    reference: OrthancId


class Compare(JsonModel):
    """The reference series of a commissioning.

    :ivar pairs: each parent with its reference.
    :ivar accepted: the name of a pipeline, whose accepted series are the references.
    """

    pairs: Annotated[list[Pair], Field(max_length=_MOST_RESOURCES)] = []
    accepted: Name | None = None

    @model_validator(mode="after")
    def _has_references(self) -> Compare:
        if bool(self.pairs) == (self.accepted is not None):
            raise ValueError("name either Pairs of Parent and Reference, or Accepted, a pipeline")
        return self


class AgreementLimits(JsonModel):
    """The limits within which two series agree; None: not checked.

    :ivar correlation: the least correlation of images. :ivar largest_difference: the largest, in the values' unit.
    :ivar relative_difference: the largest relative difference of images: the root mean square of the difference over
        the standard deviation of the reference. Unlike correlation, it detects a wrong scale or offset.
    :ivar dice: the least Dice coefficient of each label.
    """

    correlation: Annotated[float, Field(ge=-1, le=1)] | None = 0.99
    largest_difference: Annotated[float, Field(ge=0)] | None = None
    relative_difference: Annotated[float, Field(ge=0)] | None = 0.05
    dice: Annotated[float, Field(ge=0, le=1)] | None = 0.95


class Throttle(JsonModel):
    """The pace of a run.

    :ivar at_once: the most of its jobs that wait or run; None: one fewer than there are workers, at least one.
    :ivar per_hour: the most of its jobs that begin in any hour.
    """

    at_once: Annotated[int, Field(ge=1, le=1000)] | None = None
    per_hour: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class BulkKeys(JsonModel):
    """The keys of a run; all other keys of the body belong to the ``DeriveRequest`` of each of its jobs.

    :ivar name: the name to show. :ivar derived: whether series that this plugin has made are parents too.
    :ivar hours: when it may continue, such as ``20:00-06:00`` in Orthanc's local time; always if there are none.
    :ivar since, limit: which members a dry run checks.
    """

    query: BulkQuery | None = None
    resources: Annotated[list[OrthancId], Field(max_length=_MOST_RESOURCES)] | None = None
    again: Again | None = None
    compare: Compare | None = None
    limits: AgreementLimits = AgreementLimits()
    name: Annotated[str, Field(max_length=64)] = ""
    derived: bool = False
    throttle: Throttle = Throttle()
    hours: Annotated[list[str], Field(max_length=24)] = []
    dry_run: bool = False
    since: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=_MOST_LOOKED_AT)] = 100
    user: PersonName | None = None

    @field_validator("hours")
    @classmethod
    def _are_windows(cls, hours: list[str]) -> list[str]:
        for text in hours:
            Window.of(text)
        return hours

    @model_validator(mode="after")
    def _one_set(self) -> BulkKeys:
        if sum(each is not None for each in (self.query, self.resources, self.again, self.compare)) != 1:
            raise ValueError(_SEVERAL)
        return self

    @property
    def compares(self) -> bool:
        """Whether each result is compared with another series."""
        return self.again is not None or self.compare is not None


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """A request for a run.

    :param derive: what to derive from each series; None: what was requested when the old one was made.
    :param derive_keys: the same as JSON, as the client sent it.
    """

    keys: BulkKeys
    derive: DeriveRequest | None
    derive_keys: dict[str, JsonValue]

    @classmethod
    def of(cls, document: object) -> BulkRequest:
        """Check a decoded JSON body.

        :raises InvalidRequest: naming every wrong key, and what is expected there.
        """
        if not isinstance(document, dict):
            raise InvalidRequest(
                "the body is not a JSON object",
                remedy='send an object such as {"Query": {"Level": "Study", "Query": {"ModalitiesInStudy": "CT"}}, '
                '"Pipeline": "gaussian_smoothing"}',
            )
        ours = set(known_keys(BulkKeys))
        keys = validated(BulkKeys, {key: value for key, value in document.items() if key in ours}, keys_in=BULK_KEYS_IN)
        derive_keys = {key: value for key, value in document.items() if key not in ours}
        if wrong := [key for key in _OF_ONE_SERIES if key in derive_keys]:
            raise InvalidRequest(
                f"{', '.join(wrong)} cannot be asked of a run over many series",
                remedy="leave it out: other inputs are looked for in each study, and jobs are never waited for",
            )
        if keys.again is not None:
            if derive_keys.keys() - {"Priority"}:
                raise InvalidRequest(
                    f"with Again each series is derived as it was asked for then: "
                    f"{', '.join(sorted(derive_keys.keys() - {'Priority'}))} cannot be chosen",
                    remedy="leave it out, or name the parents in Resources",
                )
            derive_keys["Pipeline"] = keys.again.pipeline
        if keys.compares and "Destinations" in derive_keys:
            raise InvalidRequest(
                "Destinations cannot be chosen where results are compared: they wait for a decision",
                remedy="leave it out, and send on what is to stay",
            )
        asked = _derive_request(derive_keys)
        if asked.priority >= 0 and "Priority" in derive_keys:
            raise InvalidRequest(
                f"Priority is {asked.priority}: that of a run over many series is below 0",
                remedy="single derivations have 0, and must not wait for the run",
            )
        request = cls(keys, None if keys.again is not None else asked, derive_keys)
        request.for_one()  # so that impossible values are refused now
        return request

    def check_new(self) -> None:
        """Refuse requests that are no longer allowed, although runs on disk may have them.

        :raises InvalidRequest: a page of a run that is not a dry run, no series, or a series that is compared with
            itself.
        """
        keys = self.keys
        if not keys.dry_run and (
            pages := [to_pascal(key) for key in ("since", "limit") if key in keys.model_fields_set]
        ):
            raise InvalidRequest(
                f"{' and '.join(pages)}: only with DryRun",
                remedy="leave it out: a run derives from all series; or list those that are meant in Resources",
            )
        if keys.resources == []:
            raise InvalidRequest(
                "Resources is empty: there is nothing to derive from",
                remedy="list the Orthanc identifiers of series, studies or patients",
            )
        pairs = [] if keys.compare is None else keys.compare.pairs
        if selves := [str(at) for at, pair in enumerate(pairs) if pair.parent == pair.reference]:
            raise InvalidRequest(
                f"Compare.Pairs {', '.join(selves[:20])}: the Parent is its own Reference",
                remedy="name the series that the new result has to agree with",
            )

    def to_json(self) -> dict[str, Any]:
        """The request as JSON, with the keys that the client sent."""
        return {
            **self.keys.model_dump(mode="json", by_alias=True, exclude_unset=True),
            **{key: value for key, value in self.derive_keys.items() if self.derive is not None or key == "Priority"},
        }

    def for_one(self, former: dict[str, Any] | None = None, inputs: Mapping[str, str] | None = None) -> DeriveRequest:
        """The request for one series of the run.

        :param former: for ``Again``, the request that made the old series.
        :param inputs: the series of its study to use as other inputs, by name.
        :raises InvalidRequest: this version does not accept it (any more).
        """
        if former is None:
            kept = {**self.derive_keys}
            default = "New" if "Retrieve" in kept else "Reuse"  # only the job learns what another server has
            kept["IfExists"] = "New" if self.keys.compares else kept.get("IfExists", default)
        else:
            dropped = ("Destinations", "HoldUntilAccepted", "Priority", "Synchronous", "Asynchronous", "User")
            kept = {key: value for key, value in former.items() if key not in dropped} | {"IfExists": "New"}
        asked = _derive_request({**kept, "Priority": self.derive_keys.get("Priority", PRIORITY)})
        return asked.model_copy(update={"inputs": dict(inputs)}) if inputs else asked


class DecisionRequest(JsonModel):
    """Selects whose old or new series to remove: ``Members`` by number, or all that are ``Agreeing``."""

    members: Annotated[list[int], Field(min_length=1, max_length=10_000)] | None = None
    agreeing: bool = False

    @model_validator(mode="after")
    def _of_some(self) -> DecisionRequest:
        if (self.members is not None) == self.agreeing:
            raise ValueError('name Members by their numbers, or ask for "Agreeing": true')
        return self


def _derive_request(keys: dict[str, Any]) -> DeriveRequest:
    try:
        return DeriveRequest.of(keys)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, remedy=f"{error.remedy}; of a run: {_keys()}") from error


def _keys() -> str:
    return ", ".join(map(to_pascal, BulkKeys.model_fields))
