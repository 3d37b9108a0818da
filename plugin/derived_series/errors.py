"""The errors of the project, in one tree.

Every error says in its message what is wrong and where, and in its ``remedy`` what to do about it. If the remedy is to
make another choice, ``advice`` says which: the route or command that speaks to the user adds how to make it there
(``remedy_in``). ``http_status`` is the status that the REST routes answer with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Choice(Enum):
    """A choice of the caller that an error may suggest to change."""

    NAN = "what NaN and Inf are replaced by"
    PARENT_GRID = "the parent's grid"
    OWN_GRID = "the image's own grid"
    NEW_FRAME = "a frame of reference of the image's own"
    PARENT_FRAME = "the parent's frame of reference"
    NO_PLACE = "neither a grid nor a frame of reference"
    ORIENTATION = "one orientation of the parent's"
    PART = "one part of the parent's complex images"
    TRANSFER_SYNTAX = "a transfer syntax"
    WARNINGS = "warnings in place of a refusal"
    NO_VALIDATION = "no validation"
    CODE = "a code of another scheme"
    IOD = "an IOD"
    FILE = "a file"


@dataclass(frozen=True, slots=True)
class Advice:
    """The choice that would resolve an error. :param value: what to choose, as text; empty if it does not matter."""

    choice: Choice
    value: str = ""

    def in_words(self, words: Mapping[Choice, str]) -> str:
        """How to make the choice, in the words of the route or command; empty if these have none.

        :param words: a phrase for each choice, with ``{value}`` in place of the value.
        """
        return words.get(self.choice, "").format(value=self.value)


class DerivedSeriesError(Exception):
    """The base of all errors that the project raises on purpose.

    :param message: what is wrong, and where.
    :param remedy: what the user can do about it.
    :param details: a longer text for the log or the ``Details`` key of an answer.
    :param advice: the choice that the remedy is about.
    """

    http_status: ClassVar[int] = 500
    message: str = ""  # a user's subclass may not set the attributes below
    remedy: str | None = None
    details: str | None = None
    advice: Advice | None = None

    def __init__(
        self, message: str, *, remedy: str | None = None, details: str | None = None, advice: Advice | None = None
    ):
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = details
        self.advice = advice

    def remedy_in(self, words: Mapping[Choice, str]) -> str | None:
        """The remedy, with how to make the choice that it is about, in the words of the route or command.

        :param words: see ``Advice.in_words``.
        """
        how = self.advice.in_words(words) if isinstance(self.advice, Advice) else ""
        return f"{self.remedy}: {how}" if how and self.remedy else how or self.remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries and are rebuilt from their fields. A user's subclass is known only on this
        # side; on the other it becomes the nearest class of this module.
        kind = next(kind for kind in type(self).__mro__ if kind.__module__ == __name__)
        known = {name: value for name, value in self.__dict__.items() if name in _FIELDS}
        return (_rebuild, (kind, known))


#: The fields from which an error is rebuilt.
_FIELDS = frozenset(
    {"message", "remedy", "details", "advice", "missing", "findings", "transient", "retry_after", "__notes__"}
)


def _rebuild(kind: type[DerivedSeriesError], fields: dict[str, object]) -> DerivedSeriesError:
    error = kind.__new__(kind)
    error.args = (fields.get("message"),)
    error.__dict__.update(fields)
    return error


class InvalidRequest(DerivedSeriesError):
    """The request cannot be read: bad JSON, an unknown key, a wrong type."""

    http_status = 400


class InvalidOption(InvalidRequest):
    """An option does not exist, or not together with another: a transfer syntax, an IOD, a file for a document.

    It is raised by code that knows nothing of requests, and caught with InvalidRequest.
    """


class InvalidImage(DerivedSeriesError):
    """The image cannot be read as .npy or NIfTI, or is something that is never an image."""

    http_status = 400


class Forbidden(DerivedSeriesError):
    """The request may not come from there, or from this user."""

    http_status = 403


class NotFound(DerivedSeriesError):
    """A series, blueprint, factory, pipeline or job does not exist."""

    http_status = 404


class Conflict(DerivedSeriesError):
    """The parents belong to several patients or studies, or a state forbids the request."""

    http_status = 409


class Superseded(DerivedSeriesError):
    """The attempt at a job that asks has ended, was cancelled, or was replaced by another attempt."""

    http_status = 410


class InvalidParent(DerivedSeriesError):
    """The parent series cannot be the parent of a derivation."""

    http_status = 422


class GeometryError(DerivedSeriesError):
    """Positions, orientations or spacings do not form the required volume."""

    http_status = 422


class ShapeMismatch(DerivedSeriesError):
    """The image's shape does not match the parent's; the message names both."""

    http_status = 422


class PixelError(DerivedSeriesError):
    """Pixel values cannot be stored: NaN, Inf, a dtype without an encoding."""

    http_status = 422


@dataclass(frozen=True, slots=True)
class Missing:
    """One attribute that a header lacks."""

    tag: int
    keyword: str
    reason: str

    def __str__(self) -> str:
        return f"{self.keyword or 'private'} ({self.tag >> 16:04X},{self.tag & 0xFFFF:04X}): {self.reason}"


class HeaderError(DerivedSeriesError):
    """A header lacks attributes; the error lists all of them."""

    http_status = 422

    def __init__(self, missing: Sequence[Missing], *, where: str = "the header", remedy: str | None = None):
        self.missing = tuple(missing)
        lines = "; ".join(str(item) for item in self.missing)
        super().__init__(
            f"{where} lacks {len(self.missing)} attribute(s): {lines}",
            remedy=remedy or "give each a value in the blueprint, or copy it with Optional=True",
        )


class ValidationFailed(DerivedSeriesError):
    """The derived series breaks rules of its IOD; ``findings`` has all of them."""

    http_status = 422

    def __init__(self, findings: Sequence[str], *, what: str = "the derived series", remedy: str | None = None):
        self.findings = tuple(findings)
        super().__init__(
            f"{what} breaks {len(self.findings)} rule(s): " + "; ".join(self.findings),
            remedy=remedy or "mend the blueprint, or have these as warnings",
            advice=None if remedy else Advice(Choice.WARNINGS),
        )


class BlueprintError(DerivedSeriesError):
    """A blueprint, element or pipeline is defined wrongly."""

    http_status = 500


class InvalidValue(BlueprintError):
    """A blueprint has a value that its VR does not allow, found when a header is made."""

    http_status = 422


class UserCodeError(DerivedSeriesError):
    """The code of a pipeline or blueprint raised an exception, took too long or crashed."""

    http_status = 500


class StorageError(DerivedSeriesError):
    """The DICOMweb server did not store or return what it should.

    ``transient`` says whether trying again may help (connection lost, 5xx).
    """

    http_status = 502

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        details: str | None = None,
        transient: bool = False,
    ):
        super().__init__(message, remedy=remedy, details=details)
        self.transient = transient


class Busy(DerivedSeriesError):
    """The queue or a disk is full, or a server is away for now. ``retry_after`` is in seconds."""

    http_status = 503

    def __init__(self, message: str, *, retry_after: int = 10, remedy: str | None = None):
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after
