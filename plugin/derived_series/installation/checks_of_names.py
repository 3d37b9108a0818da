"""What the settings name and the blueprint folders do not have: found by loading them, as Orthanc's Python does."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from derived_series.installation.configuration import Configuration
from derived_series.installation.finding import Finding, error, warning
from derived_series.jobs.messages import Catalogue
from derived_series.jobs.work.catalogue import catalogue
from derived_series.orthanc.config import Settings
from derived_series.orthanc.rule_problems import problems_of_names

_SECTION = "DerivedSeries"


def check_section(configuration: Configuration) -> Iterator[Finding]:
    """A section that is nearly called as the plugin's: Orthanc ignores it without a word."""
    for name, file in configuration.files.items():
        if name != _SECTION and get_close_matches(name.lower(), [_SECTION.lower()], cutoff=0.85):
            yield error(
                "settings", f"{file}: nobody reads the section {name!r}", f"is it to be {_SECTION!r}? Rename it then"
            )


def check_names(configuration: Configuration, settings: Settings) -> Iterator[Finding]:
    """Pipelines, blueprints and parameters of rules, and the names in Pipelines."""
    folders = [configuration.folder / each for each in settings.blueprint_folders]
    if not (settings.rules or settings.pipelines) or not all(map(_may_be_run, folders)):
        return
    there = catalogue(tuple(str(folder) for folder in folders))
    where = configuration.files.get(_SECTION, configuration.path)
    doubt = _doubt(there)
    for rule in settings.rules:
        for problem in problems_of_names(rule, there):
            yield (warning if doubt else error)(
                "rules", f"{where}: its jobs would fail: rule {rule.name!r}: {problem}{doubt}", "mend the rule"
            )
    for name in settings.pipelines:
        if name not in there.pipelines:
            near = get_close_matches(name, there.pipelines)
            meant = f"is it to be {near[0]!r}? " if near else ""
            yield warning(
                "pipelines",
                f"{where}: Pipelines: there is no pipeline {name!r}{doubt}",
                f"{meant}derived-series list has them all",
            )


def _doubt(there: Catalogue) -> str:
    """That something may be in a file that this Python cannot load: one for an environment, or a wrong one."""
    files = ", ".join(Path(each["File"]).name for each in there.problems)
    return f" (unless it is in a file that cannot be loaded here: {files})" if files else ""


def _may_be_run(folder: Path) -> bool:
    """Whether the code of a folder is there, and root runs only what root alone can have written."""
    if not folder.is_dir():
        return False
    return os.geteuid() != 0 or all(
        entry.stat().st_uid == 0 and not entry.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        for entry in (folder, *folder.glob("*.py"))
    )
