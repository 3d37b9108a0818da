"""Orthanc's configuration as its files have it: one file, or all ``*.json`` of a folder, merged as Orthanc does."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from derived_series.errors import InvalidRequest

#: A string, or a comment of either kind, which Orthanc allows.
_STRINGS_AND_COMMENTS = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_STRINGS_AND_LAST_COMMAS = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[\]}])')
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the files say.

    :ivar path: the folder, or the one file.
    :ivar merged: all sections, environment variables replaced.
    :ivar files: which file has which section.
    :ivar unset: variables of the environment that the files take and that are not set here.
    :ivar problems: why Orthanc would not start with them, or what could not be read.
    """

    path: Path
    merged: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """What relative paths start from."""
        return self.path if self.path.is_dir() else self.path.parent

    def section(self, name: str) -> dict[str, Any]:
        """A section that is an object; empty where there is none."""
        value = self.merged.get(name)
        return dict(value) if isinstance(value, dict) else {}


def read_configuration(path: Path, *, but: Path | None = None) -> Configuration:
    """Read a configuration. :param but: a file of the folder that is left out.

    :raises InvalidRequest: there is nothing at the path.
    """
    if not path.exists():
        raise InvalidRequest(f"{path} is not there", remedy="name Orthanc's folder of configuration files, or its file")
    merged: dict[str, Any] = {}
    files: dict[str, Path] = {}
    problems = []
    unset: dict[str, None] = {}
    for file in _files(path):
        if but is not None and file == but:
            continue
        try:
            sections = read_file(file)
            unset.update(dict.fromkeys(_unset(file)))
        except (OSError, InvalidRequest) as error:
            problems.append(str(error) if isinstance(error, InvalidRequest) else f"{file} cannot be read: {error}")
            continue
        for name, value in sections.items():
            if name in files:
                problems.append(f"{name} is set in {files[name]} and in {file}: Orthanc refuses to start")
                continue
            files[name], merged[name] = file, value
    return Configuration(path, merged, files, tuple(problems), tuple(unset))


def read_file(file: Path) -> dict[str, Any]:
    """The sections of a file. :raises InvalidRequest: not a JSON object. :raises OSError: it cannot be read."""
    text = _VARIABLE.sub(
        lambda match: os.environ.get(match[1], match[2] or "").replace("\\", "\\\\"), file.read_text("utf-8")
    )
    plain = _STRINGS_AND_COMMENTS.sub(lambda match: match[1] or " ", text)
    try:
        sections = json.loads(_STRINGS_AND_LAST_COMMAS.sub(lambda match: match[1] or "", plain))
    except ValueError as error:
        raise InvalidRequest(f"{file} is not JSON: {error}") from error
    if not isinstance(sections, dict):
        raise InvalidRequest(f"{file} is not a JSON object")
    return sections


def _unset(file: Path) -> list[str]:
    """The variables that a file takes from the environment, and that are not there."""
    text = _STRINGS_AND_COMMENTS.sub(lambda match: match[1] or " ", file.read_text("utf-8"))
    return [match[1] for match in _VARIABLE.finditer(text) if match[1] not in os.environ]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(each for each in path.iterdir() if each.suffix.lower() == ".json" and not each.is_dir())
