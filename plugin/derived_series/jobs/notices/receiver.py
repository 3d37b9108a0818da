"""Receiver: a receiver of notices, from ``"Notify"`` in the configuration."""

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

#: Headers that a receiver's ``Headers`` must not replace.
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})

#: The default events.
_DEFAULT_EVENTS: tuple[Event, ...] = ("Failure", "RuleFailure", "WorkerGone", "WaitingForReview")


class Receiver(JsonModel):
    """A web address that gets notices.

    :ivar url: an address of Slack, Teams, or anything that takes a POST; never logged, since it may contain a token.
    :ivar name: its name in the log, the status and the metrics; by default the host of the URL.
    :ivar events: the events that it gets.
    :ivar template: the body: a text, or JSON whose texts contain ``{Field}``; by default all fields as JSON.
    :ivar secret: the key with which each notice is signed (HMAC-SHA256).
    :ivar headers: more headers, such as ``Authorization``.
    :ivar include_patient_data: whether to include tags, UIDs and the text of errors.
    :ivar ca_bundle: a file with certificates to trust, relative to the configuration file.
    :ivar timeout: seconds that an answer may take.
    :ivar retry_pause: seconds before the second attempt at a notice, doubled for each further one, an hour at most.
    :ivar give_up_hours: the hours after which a notice is given up.
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
        """Its name, or else the host of its URL."""
        return self.name or urlsplit(self.url).hostname or ""

    def wants(self, event: Event) -> bool:
        """Whether it gets an event. Receivers of failures also get delivery failures."""
        return event in self.events or (event == "DeliveryFailure" and "Failure" in self.events)


def problem_of_url(url: str) -> str | None:
    """What is wrong with an address, without quoting it, since it may contain a token."""
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
    """Check headers (RFC 9110 5). :raises ValueError: one cannot be sent."""
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ValueError("the name of a header has characters that names of headers cannot have")
        if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", value):
            raise ValueError(f"the value of {name} is empty, or has characters that headers cannot have")


def repeated_receivers(receivers: Sequence[Receiver]) -> list[str]:
    """The names that several receivers share."""
    names = [receiver.key for receiver in receivers]
    return sorted({name for name in names if names.count(name) > 1})
