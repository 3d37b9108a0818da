"""The report of a run that compares series with references: versions, and every figure, to be archived."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from derived_series.jobs.bulk.agreement import disagreements, held_limits
from derived_series.jobs.bulk.bulk_log import BulkLog
from derived_series.jobs.bulk.bulk_run import BulkRun, Member, MemberState
from derived_series.jobs.queue.job_files import JobFiles
from derived_series.jobs.requests.bulk import AgreementLimits

_STYLE = (
    "body{font:14px/1.4 sans-serif;margin:2em;color:#111;background:#fff}table{border-collapse:collapse}"
    "th,td{border:1px solid #999;padding:2px 6px;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    ".passed{color:#060}.failed{color:#a00;font-weight:bold}"
)


def write_report(files: JobFiles, run: BulkRun, limits: AgreementLimits, log: BulkLog) -> None:
    """Write the report of a run, completely or not at all. It stays when the run is deleted.

    :raises OSError: the disk refuses it. :raises Busy: the database does.
    """
    files.write_report(run.id, report(run, limits, list(log.all_members(run.id))).encode())


def report(run: BulkRun, limits: AgreementLimits, members: Sequence[Member]) -> str:
    """Make the report as one self-contained HTML file, which names series by their Orthanc identifiers."""
    passed = [member for member in members if member.agrees]
    verdict = "PASSED" if members and len(passed) == len(members) else "FAILED"
    result = f"{verdict}: {len(passed)} of {len(members)} series agree with their reference"
    if all(member.state is MemberState.SKIPPED for member in members):
        why = f"{len(members)} series, all skipped" if members else "no series was found"
        result = f"NOTHING WAS COMPARED: {why}"
    against = sorted({member.reference_code for member in members if member.reference_code})
    facts = {
        "Result": result,
        "Run": f"{run.id} {run.request.get('Name', '')}".strip(),
        "Asked for by": _person(run.by),
        "Begun": _time(run.created),
        "Completed": _time(run.completed),
        "Software": run.versions.get("Software", ""),
        "Pipeline": run.versions.get("Name", ""),
        "Version (SHA-256 of its code)": run.versions.get("Code", ""),
        "Versions of the references": ", ".join(against) or "not known",
        "Limits": _limits(limits),
    }
    rows = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts.items())
    lines = "".join(_row(member, limits) for member in members)
    head = "".join(f"<th>{name}</th>" for name in ("No.", "Parent", "Reference", "New series", "Figures", "Result"))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Comparison {_text(run.id)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>Comparison of derived series</h1>\n<table>{rows}</table>\n"
        f"<h2>Series</h2>\n<table><thead><tr>{head}</tr></thead><tbody>\n{lines}</tbody></table>\n"
        "<p>Approved by: ______________________ Date: ______________</p></body></html>\n"
    )


def _row(member: Member, limits: AgreementLimits) -> str:
    wrong = [
        f"{_named(name)}{text}" for name, each in member.comparison.items() for text in disagreements(each, limits)
    ]
    if member.state is not MemberState.SUCCESS:
        wrong = [f"{member.state.value}: {member.reason}" if member.reason else member.state.value]
    elif not member.comparison:
        wrong = ["it was not compared"]
    figures = "; ".join(f"{_named(name)}{_figures(each)}" for name, each in member.comparison.items())
    held = [f"{_named(name)}{text}" for name, each in member.comparison.items() for text in held_limits(each, limits)]
    wrong = ["passed"] if member.agrees else wrong
    lines = "; ".join(wrong) + (f" ({', '.join(held)})" if held else "")
    result = f'<td class="{"passed" if member.agrees else "failed"}">{_text(lines)}</td>'
    cells = [
        str(member.number),
        member.series,
        " ".join(member.reference.values()),
        " ".join(member.derived.values()),
        figures,
    ]
    return f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}{result}</tr>\n"


def _named(output: str) -> str:
    return f"{output}: " if output not in ("", "result") else ""


def _figures(figures: dict[str, Any]) -> str:
    if figures.get("Dice"):
        dice = (f"{label} {'in neither' if each is None else f'{each:.4f}'}" for label, each in figures["Dice"].items())
        return f"Dice by label: {', '.join(dice)}"
    if figures.get("LargestDifference") is not None:
        correlation = figures["Correlation"]
        shown = "none" if correlation is None else f"{correlation:.6f}"
        place = ", ".join(map(str, figures["At"]))
        relative = figures.get("RelativeDifference")
        spread = "" if relative is None else f"relative difference {relative:.6f}, "
        return f"correlation {shown}, {spread}largest difference {figures['LargestDifference']:g} at ({place})"
    return "none"


def _limits(limits: AgreementLimits) -> str:
    texts = {
        "correlation at least": limits.correlation,
        "relative difference at most": limits.relative_difference,
        "largest difference at most": limits.largest_difference,
        "Dice of each label at least": limits.dice,
    }
    return ", ".join(f"{name} {value:g}" for name, value in texts.items() if value is not None) or "none"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def _text(value: str) -> str:
    return html.escape(value)


def _person(by: Mapping[str, Any]) -> str:
    return f"{by['User']} ({by.get('UserFrom', '')})" if by.get("User") else "not known: no user was named"
