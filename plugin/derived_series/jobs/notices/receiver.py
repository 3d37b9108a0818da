"""Receivers of notices: ``"Notify"`` in the configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from derived_series.jobs.notices.fields import OF_A_PATIENT, OF_NOBODY, Event
from derived_series.jobs.notices.signature import key_of
from derived_series.jobs.notices.template import Template, fields_in
from derived_series.json_model import JsonModel

#: Headers that a receiver's own may not replace.
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})

#: What is told where a receiver does not say.
_DEFAULT_EVENTS: tuple[Event, ...] = ("Failure", "RuleFailure", "WorkerGone", "WaitingForReview")


class Receiver(JsonModel):
    """A web address that is told what has happened.

    :ivar url: of Slack, Teams, or whatever takes a POST. It may hold a token: it is in no log.
    :ivar name: what the log, the status and the metrics call it; default: the host of the URL.
    :ivar events: what it is told.
    :ivar template: what is sent: a text, or JSON whose texts have ``{Field}`` in them; default: all fields as JSON.
    :ivar secret: each notice is signed with it (HMAC-SHA256).
    :ivar headers: sent along, such as ``Authorization``.
    :ivar include_patient_data: tags, UIDs and what errors say in their own words.
    :ivar ca_bundle: certificates to trust, relative to the configuration file.
    :ivar timeout: seconds that it may take to answer.
    :ivar retry_pause: seconds before the second attempt at a notice; doubled with each further one, an hour at most.
    :ivar give_up_hours: how long a notice is tried.
    """

    url: Annotated[str, Field(alias="URL", repr=False)]
    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,100}$")] | None = None
    events: Annotated[list[Event], Field(min_length=1)] = list(_DEFAULT_EVENTS)
    template: Template = None
    secret: Annotated[str | None, Field(repr=False)] = None
    headers: Annotated[dict[str, str], Field(repr=False)] = {}
    include_patient_data: bool = False
    ca_bundle: str | None = None
    timeout: Annotated[float, Field(gt=0, le=60)] = 10.0
    retry_pause: Annotated[float, Field(gt=0, le=3600)] = 5.0
    give_up_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 72.0

    @model_validator(mode="before")
    @classmethod
    def _as_orthanc_writes_it(cls, document: Any) -> Any:
        if isinstance(document, dict) and "Url" in document and "URL" not in document:
            return {"URL" if key == "Url" else key: value for key, value in document.items()}
        return document

    @field_validator("url")
    @classmethod
    def _is_one(cls, url: str) -> str:
        if problem := problem_of_url(url):
            raise ValueError(problem)
        return url

    @field_validator("events")
    @classmethod
    def _each_once(cls, events: list[Event]) -> list[Event]:
        if twice := sorted({event for event in events if events.count(event) > 1}):
            raise ValueError(f"{', '.join(twice)} is there more than once: name each event once")
        return events

    @field_validator("template")
    @classmethod
    def _says_something(cls, template: Template) -> Template:
        if template == "":
            raise ValueError("it is empty: leave it out to have all fields sent as JSON")
        return template

    @field_validator("secret")
    @classmethod
    def _is_a_key(cls, secret: str | None) -> str | None:
        if secret is not None:
            key_of(secret)
        return secret

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        check_headers(headers)
        for name in headers:
            if name.lower() in _OURS or name.lower().startswith("webhook-"):
                raise ValueError(f"{name} is set by the plugin itself")
        return headers

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Receiver:
        names = (*OF_NOBODY, *OF_A_PATIENT) if self.include_patient_data else OF_NOBODY
        for name in fields_in(self.template):
            if name in OF_A_PATIENT and name not in names:
                raise ValueError(f"Template: {name} may be a patient's: set IncludePatientData to have it sent")
            if name not in names:
                raise ValueError(f"Template: there is no field {name!r}; there are: {', '.join(names)}")
        return self

    @property
    def key(self) -> str:
        """What it goes by."""
        return self.name or urlsplit(self.url).hostname or ""

    def wants(self, event: Event) -> bool:
        """Whether it is told. Who asks for failures is told of series that were not delivered, too."""
        return event in self.events or (event == "DeliveryFailure" and "Failure" in self.events)


def problem_of_url(url: str) -> str | None:
    """What is wrong with an address, without repeating it: it may hold a token."""
    if not url:
        return "it is empty: is its environment variable set?"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # it is read when it is asked for
    except ValueError:
        return "it is not a URL: its host or its port cannot be read"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "it is not a URL that can be sent to: https://host/path"
    if re.search(r"[\s\x00-\x1f]", url):
        return "it has blanks, which a URL cannot have"
    return None


def check_headers(headers: dict[str, str]) -> None:
    """:raises ValueError: what cannot be sent as a header (RFC 9110 5)."""
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ValueError("the name of a header has characters that names of headers cannot have")
        if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", value):
            raise ValueError(f"the value of {name} is empty, or has characters that headers cannot have")


def repeated_receivers(receivers: Sequence[Receiver]) -> list[str]:
    """Names that several have."""
    names = [receiver.key for receiver in receivers]
    return sorted({name for name in names if names.count(name) > 1})
