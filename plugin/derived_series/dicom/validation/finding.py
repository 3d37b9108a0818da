"""Finding: one thing that is wrong in a series or a blueprint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from derived_series.dicom.encoding.tags import describe


class Severity(Enum):
    """How serious a finding is: an ``ERROR`` breaks the standard or a project rule, a ``WARNING`` may be right."""

    ERROR = "Error"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    :param where: the instance, module or sequence item; empty for the whole. :param tag: 0 for no particular one.
    """

    severity: Severity
    tag: int
    where: str
    message: str

    def __str__(self) -> str:
        what = f"{describe(self.tag)} {self.message}" if self.tag else self.message
        return f"{what} [{self.where}]" if self.where else what

    def to_json(self) -> dict[str, str]:
        """The finding as JSON, with the keys ``Severity``, ``Tag``, ``Where`` and ``Message``."""
        tag = f"{self.tag >> 16:04x},{self.tag & 0xFFFF:04x}" if self.tag else ""
        return {"Severity": self.severity.value, "Tag": tag, "Where": self.where, "Message": self.message}


def error(tag: int, message: str, where: str = "") -> Finding:
    return Finding(Severity.ERROR, int(tag), where, message)


def warning(tag: int, message: str, where: str = "") -> Finding:
    return Finding(Severity.WARNING, int(tag), where, message)


def errors(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings that are errors."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)
