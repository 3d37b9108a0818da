"""The lines at the end of a test run besides pytest's own: real series, skips, coverage."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent / "plugin" / "derived_series"


def skip_lines(reasons: Iterable[str]) -> list[str]:
    """One line for each reason, the most frequent first."""
    counted = Counter(reason.removeprefix("Skipped: ") for reason in reasons)
    return [
        f"skipped {count} {'test' if count == 1 else 'tests'}: {reason}"
        for reason, count in sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    ]


def coverage_lines(coverage: Mapping[str, Any], package: Path = PACKAGE) -> list[str]:
    """The share of executed lines, in total and for each package.

    :param coverage: slipcover's result: ``files``, each with ``executed_lines`` and ``missing_lines``.
    """
    executed: dict[str, int] = defaultdict(int)
    lines: dict[str, int] = defaultdict(int)
    for name, file in coverage["files"].items():
        path = Path(name).resolve()
        if not path.is_relative_to(package):
            continue
        inside = path.relative_to(package).parts
        part = inside[0] if len(inside) > 1 else "files beside them"
        for key in (part, "all"):
            executed[key] += len(file["executed_lines"])
            lines[key] += len(file["executed_lines"]) + len(file["missing_lines"])
    parts = [f"{part} {100 * executed[part] // max(lines[part], 1)} %" for part in sorted(lines) if part != "all"]
    if not parts:
        return []
    whole = f"{100 * executed['all'] // max(lines['all'], 1)} % of {lines['all']} lines ran in the tests' own processes"
    return [f"{whole} (not counted: Orthanc's and its workers')", ", ".join(parts)]


def measured() -> Mapping[str, Any] | None:
    """The result that slipcover's plugin joined from all processes of xdist; None if coverage was not requested."""
    folder = os.environ.get("SLIPCOVER_COVERAGE_DIR")
    joined = Path(folder) / "merged.json" if folder else None
    if joined is None or not joined.exists():
        return None
    coverage: dict[str, Any] = json.loads(joined.read_text("utf-8"))
    return coverage
