"""Tables of figures: timed side by side, as medians and ratios, printed and as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Table:
    """A table of figures. :param rows: cells as text, one a column; :param notes: sentences below the table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        widths = [max(len(row[i]) for row in (self.columns, *self.rows)) for i in range(len(self.columns))]
        first, *others = widths
        marks = ["-" * first, *("-" * (width - 1) + ":" for width in others)]
        lines = [_line(row, widths) for row in (self.columns, tuple(marks), *self.rows)]
        return "\n".join([f"## {self.title}", "", *lines, *(f"\n{note}" for note in self.notes)]) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join([first, *others]) + " |"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that is to be reached; ``measured`` is None when this run did not measure it.

    :param unit: of both; by default, they are ratios.
    """

    name: str
    bound: float
    measured: float | None
    at_least: bool = False
    unit: str = "x"

    @property
    def row(self) -> tuple[str, str, str, str]:
        wanted = f"{'>=' if self.at_least else '<='} {self.bound:g}{self.unit}"
        if self.measured is None:
            return (self.name, "-", wanted, "not measured")
        met = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        return (self.name, f"{self.measured:.2f}{self.unit}", wanted, "yes" if met else "no")


def targets_table(targets: Sequence[Target]) -> Table:
    return Table("Targets", ("figure", "measured", "target", "met"), tuple(target.row for target in targets))


def _nothing() -> None:
    """Between two calls, unless there is something to do."""


def interleaved(
    calls: Mapping[str, Callable[[], object]], repeats: int, *, between: Callable[[], object] = _nothing
) -> dict[str, list[float]]:
    """Seconds of each call: A B C A B C ..., so that what else the machine does meets all alike. One round warms up.

    :param between: is called after each call, and not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if repeat:
                seconds[name].append(time.perf_counter() - started)
            between()
    return seconds


def ratio(seconds: Mapping[str, Sequence[float]], name: str, to: str) -> float:
    """The median over the rounds of how many times longer ``name`` took than ``to`` in the same round."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[to], strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def spread(seconds: Sequence[float], unit: float = 1.0, digits: int = 2) -> str:
    """Median, least and most, such as ``1.52 (1.40-1.61)``."""
    least, most = min(seconds) / unit, max(seconds) / unit
    return f"{statistics.median(seconds) / unit:.{digits}f} ({least:.{digits}f}-{most:.{digits}f})"


def memory_cost() -> tuple[float, float]:
    """Milliseconds that a MB of memory costs which the process has not had before, and one that was freed just now.

    On virtual machines that give unused memory back to their host the first is 10 to 50 times the second: whatever
    is held, in memory or in the page cache, costs time.
    """
    size = 256 << 20
    times = []
    for _ in range(4):
        started = time.perf_counter()
        touched = np.empty(size, np.uint8)
        touched[::4096] = 1
        times.append((time.perf_counter() - started) * 1e3 / (size >> 20))
        del touched
    return times[0], min(times)


def machine() -> str:
    """One line: processor, memory, system, versions."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": ?")
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    first, again = memory_cost()
    packages = ", ".join(f"{name} {version(name)}" for name in ("pydicom", "numpy", "highdicom"))
    return (
        f"{os.cpu_count()} cores of {cpu.partition(':')[2].strip()}, {int(memory.split()[1]) / 2**20:.0f} GiB "
        f"({first:.2f} ms a MB when first touched, {again:.2f} when just freed), "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}, {packages}"
    )
