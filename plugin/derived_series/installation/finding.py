"""What is wrong with a set-up, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How bad it is."""

    ERROR = "Error"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    :ivar name: of what was looked at, such as ``python version``; it stays the same from version to version.
    :ivar message: what is wrong, and where.
    :ivar remedy: what to do.
    """

    name: str
    severity: Severity
    message: str
    remedy: str

    def to_json(self) -> dict[str, str]:
        return {
            "Name": self.name,
            "Severity": self.severity.value,
            "Message": self.message,
            "Remedy": self.remedy,
        }

    def __str__(self) -> str:
        return f"{self.severity.value.lower()}: {self.message}\n    {self.remedy}"


def error(name: str, message: str, remedy: str) -> Finding:
    """What keeps the plugin from working."""
    return Finding(name, Severity.ERROR, message, remedy)


def warning(name: str, message: str, remedy: str) -> Finding:
    """What it works in spite of."""
    return Finding(name, Severity.WARNING, message, remedy)
