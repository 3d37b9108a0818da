"""The one error tree of the project.

Every error says what is wrong and where in its message, and what to do about it in its
``remedy``. Where that is to choose otherwise, ``choice`` says which choice it is: whoever speaks to the
user, a route or the command, adds how the choice is made there (``remedy_in``). ``http_status`` is the status that
the REST routes answer with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Choice(Enum):
    """What a caller chooses, and may choose otherwise."""

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
    """The choice that would settle an error. :param value: what to choose, as text; empty where any will do."""

    choice: Choice
    value: str = ""

    def in_words(self, words: Mapping[Choice, str]) -> str:
        """How it is chosen, in the words of who speaks to the user; empty where those have none.

        :param words: a phrase by choice, with ``{value}`` where the value is.
        """
        return words.get(self.choice, "").format(value=self.value)


class DerivedSeriesError(Exception):
    """Base of all errors that the project raises on purpose.

    :param message: what is wrong, and where.
    :param remedy: what the user can do about it.
    :param details: longer text for the log or the ``Details`` key of an answer.
    :param advice: the choice that the remedy speaks of.
    """

    http_status: ClassVar[int] = 500
    message: str = ""  # a class of the user's may leave the values below out
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
        """The remedy, and how the choice that it speaks of is made, in the words of who speaks to the user.

        :param words: see ``Advice.in_words``.
        """
        how = self.advice.in_words(words) if isinstance(self.advice, Advice) else ""
        return f"{self.remedy}: {how}" if how and self.remedy else how or self.remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries: they are rebuilt from their fields. A class of the user's is known
        # on this side alone: there it becomes the nearest one of this module.
        kind = next(kind for kind in type(self).__mro__ if kind.__module__ == __name__)
        known = {name: value for name, value in self.__dict__.items() if name in _FIELDS}
        return (_rebuild, (kind, known))


#: What an error is rebuilt from.
_FIELDS = frozenset(
    {"message", "remedy", "details", "advice", "missing", "findings", "transient", "retry_after", "__notes__"}
)


def _rebuild(kind: type[DerivedSeriesError], fields: dict[str, object]) -> DerivedSeriesError:
    error = kind.__new__(kind)
    error.args = (fields.get("message"),)
    error.__dict__.update(fields)
    return error


class InvalidRequest(DerivedSeriesError):
    """The request is not one that can be read: bad JSON, an unknown key, a wrong type."""

    http_status = 400


class InvalidOption(InvalidRequest):
    """An option that there is not, or not together with another: a transfer syntax, an IOD, a file for a document.

    Raised where nothing is known of requests; who catches InvalidRequest catches it too.
    """


class InvalidImage(DerivedSeriesError):
    """The image cannot be read as .npy or NIfTI, or is of a kind that is never an image."""

    http_status = 400


class Forbidden(DerivedSeriesError):
    """The request may not be made from where it comes, or by whom."""

    http_status = 403


class NotFound(DerivedSeriesError):
    """A series, blueprint, factory, pipeline or job that is not there."""

    http_status = 404


class Conflict(DerivedSeriesError):
    """Parents of several patients or studies, or a state that forbids the request."""

    http_status = 409


class Superseded(DerivedSeriesError):
    """What asks is an attempt at a job that has ended, was cancelled, or whose place another attempt has taken."""

    http_status = 410


class InvalidParent(DerivedSeriesError):
    """The parent series cannot be the parent of a derivation."""

    http_status = 422


class GeometryError(DerivedSeriesError):
    """Positions, orientations or spacings that do not make the volume asked for."""

    http_status = 422


class ShapeMismatch(DerivedSeriesError):
    """The image's shape is not the one that the parent asks for; both are named."""

    http_status = 422


class PixelError(DerivedSeriesError):
    """Pixel values that cannot be stored: NaN, Inf, a dtype without an encoding."""

    http_status = 422


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that a header lacks."""

    tag: int
    keyword: str
    reason: str

    def __str__(self) -> str:
        return f"{self.keyword or 'private'} ({self.tag >> 16:04X},{self.tag & 0xFFFF:04X}): {self.reason}"


class HeaderError(DerivedSeriesError):
    """All that a header lacks, in one error (never only the first)."""

    http_status = 422

    def __init__(self, missing: Sequence[Missing], *, where: str = "the header", remedy: str | None = None):
        self.missing = tuple(missing)
        lines = "; ".join(str(item) for item in self.missing)
        super().__init__(
            f"{where} lacks {len(self.missing)} attribute(s): {lines}",
            remedy=remedy or "give each a value in the blueprint, or copy it with Optional=True",
        )


class ValidationFailed(DerivedSeriesError):
    """The series that was built breaks a rule of its IOD; every finding is in ``findings``."""

    http_status = 422

    def __init__(self, findings: Sequence[str], *, what: str = "the derived series", remedy: str | None = None):
        self.findings = tuple(findings)
        super().__init__(
            f"{what} breaks {len(self.findings)} rule(s): " + "; ".join(self.findings),
            remedy=remedy or "mend the blueprint, or have these as warnings",
            advice=None if remedy else Advice(Choice.WARNINGS),
        )


class BlueprintError(DerivedSeriesError):
    """A blueprint, element or pipeline that is defined wrongly."""

    http_status = 500


class InvalidValue(BlueprintError):
    """A value of a blueprint that its VR does not allow, found as a header is made."""

    http_status = 422


class UserCodeError(DerivedSeriesError):
    """An exception, time-out or crash in the code of a pipeline or a blueprint."""

    http_status = 500


class StorageError(DerivedSeriesError):
    """The DICOMweb server did not take, or does not give, what it should.

    ``transient`` tells whether trying again may help (connection lost, 5xx).
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
    """The queue is full. ``retry_after`` is in seconds."""

    http_status = 503

    def __init__(self, message: str, *, retry_after: int = 10, remedy: str | None = None):
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after
