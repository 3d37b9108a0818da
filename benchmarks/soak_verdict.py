"""Whether a soak has passed: each criterion with what was measured and its bound. Functions of what was sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench_tables import percentile
from soak_course import Course, Sample
from soak_plan import STUDIES_PER_DAY, STUDIES_PER_MINUTE

MB = 1e6

#: What counts as flat: growth over a day's studies of a twentieth, or of what an allocator and a page cache do anyway.
FLAT_RATIO = 0.05
FLAT_MB = 16.0
FLAT_COUNT = 4.0  # descriptors, threads

#: Firings of rules are remembered for 30 days, and so the file grows, by some hundred bytes each.
JOBS_FILE_GROWTH_MB = 2.0
JOBS_FILE_MB = 32.0
WAL_MB = 16.0  # SQLite folds it into the file from 4 MB on, as soon as nobody reads
UNFINISHED_JOBS = 60
QUICK_P99_SECONDS = 1.0
LONGEST_SECONDS = 60.0

#: What pages and probes ask for all the time.
QUICK_ROUTES = (
    "GET /derived-series/health",
    "GET /derived-series/status",
    "GET /derived-series/jobs?expand",
    "GET /derived-series/metrics",
)
_DAY_SECONDS = STUDIES_PER_DAY / STUDIES_PER_MINUTE * 60


@dataclass(frozen=True, slots=True)
class Criterion:
    """A criterion and its result. :ivar met: None if the soak was too short to decide."""

    name: str
    measured: str
    bound: str
    met: bool | None

    @property
    def row(self) -> tuple[str, str, str, str]:
        return (self.name, self.measured, self.bound, {True: "yes", False: "no", None: "too short"}[self.met])


def growth(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    """How much a figure grows while a day's studies come, by the median slope of all pairs of samples (Theil-Sen)."""
    from scipy.stats import theilslopes  # takes long, for the other tests of a process

    slope = theilslopes([figure(sample) for sample in samples], [sample.at for sample in samples]).slope
    return float(slope) * _DAY_SECONDS


def criteria(course: Course) -> list[Criterion]:
    return [*_wholeness(course), *_flatness(course), *_bounds(course), *_answers(course)]


def broken(course: Course) -> list[Criterion]:
    return [criterion for criterion in criteria(course) if criterion.met is False]


def _none(name: str, count: int) -> Criterion:
    return Criterion(name, f"{count:,}", "0", count == 0)


def _wholeness(course: Course) -> Iterator[Criterion]:
    arrived, checked = len(course.arrived), len(course.checked)
    yield Criterion("studies with exactly their series", f"{checked:,} of {arrived:,}", "all", 0 < arrived == checked)
    yield _none("series lost", course.missing)
    yield _none("series doubled", course.surplus)
    yield _none("failed jobs", sum(count for error, count in course.failures.items() if error != "Cancelled"))
    cancelled = course.failures.get("Cancelled", 0)
    yield Criterion("jobs cancelled", f"{cancelled:,}", f"{course.cancelled:,}", cancelled == course.cancelled)
    yield _none("refused or failed requests, and all else that went wrong", len(course.problems))
    unfinished = course.samples[-1].unfinished if course.samples else -1
    yield Criterion("jobs in the queue in the end", f"{unfinished}", "0", unfinished == 0)


def _flat(
    course: Course, name: str, figure: Callable[[Sample], float], floor: float, unit: float, sign: str
) -> Criterion:
    """The criterion that a figure does not grow.

    :param floor: growth that is always allowed; :param unit: of the figures, and :param sign: its name.
    """
    steady = course.steady
    middle = float(np.median([figure(sample) for sample in steady])) if steady else 0.0
    bound = max(FLAT_RATIO * middle, floor)
    if len(steady) < 2:
        return Criterion(name, "-", f"<= {bound / unit:.1f}{sign}", None)
    grown = growth(steady, figure)
    met = grown <= bound if course.minutes >= 30 else None
    return Criterion(
        name, f"{grown / unit:+.1f}{sign}, at {middle / unit:.0f}{sign}", f"<= {bound / unit:.1f}{sign}", met
    )


def _flatness(course: Course) -> Iterator[Criterion]:
    for name, size in (
        ("Orthanc's process", lambda sample: sample.orthanc),
        ("the largest worker", lambda sample: sample.largest_worker),
        ("all processes", lambda sample: sample.together),
    ):
        yield _flat(course, f"growth of {name}", size, FLAT_MB * MB, MB, " MB")
    for name, count in (
        ("descriptors", lambda sample: sample.descriptors),
        ("threads", lambda sample: sample.threads),
    ):
        yield _flat(course, f"growth of Orthanc's {name}", count, FLAT_COUNT, 1, "")
    steady = course.steady
    if len(steady) > 1:
        grown = growth(steady, lambda sample: sample.jobs_file) / MB
        yield Criterion(
            "growth of the jobs file", f"{grown:+.2f} MB", f"<= {JOBS_FILE_GROWTH_MB:g} MB",
            grown <= JOBS_FILE_GROWTH_MB if course.minutes >= 30 else None,
        )  # fmt: skip


def _most(name: str, values: Sequence[float], bound: float, sign: str, digits: int = 1) -> Criterion:
    most = max(values, default=0.0)
    return Criterion(name, f"{most:,.{digits}f}{sign}", f"<= {bound:g}{sign}", bool(values) and most <= bound)


def _bounds(course: Course) -> Iterator[Criterion]:
    samples = course.samples
    yield _most("jobs file at the most", [sample.jobs_file / MB for sample in samples], JOBS_FILE_MB, " MB")
    yield _most("its write-ahead log at the most", [sample.wal / MB for sample in samples], WAL_MB, " MB")
    yield _most("jobs that wait or run at the most", [s.unfinished for s in samples], UNFINISHED_JOBS, "", 0)


def _answers(course: Course) -> Iterator[Criterion]:
    for route in QUICK_ROUTES:
        seconds = [answer.seconds for answer in course.answers if answer.route == route]
        p99 = [percentile(seconds, 99)] if seconds else []
        yield _most(f"p99 of {route}", p99, QUICK_P99_SECONDS, " s", 3)
    yield _most("the longest answer", [answer.seconds for answer in course.answers], LONGEST_SECONDS, " s", 1)
