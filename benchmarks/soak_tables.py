"""The tables of a soak, by tenths of an hour or what that is of a shorter one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench_tables import Table, percentile
from soak_course import ENVIRONMENT, ORTHANC, OTHERS, WORKERS, Course, Sample, Window, windows
from soak_verdict import MB, criteria


def tables(course: Course, title: str, notes: tuple[str, ...]) -> list[Table]:
    """The tables of a soak. :param notes: on the scaling, below the first table."""
    return [_course(course, title, notes), _answers(course), _verdict(course)]


def _course(course: Course, title: str, notes: tuple[str, ...]) -> Table:
    parts = windows(course)

    def samples(window: Window) -> list[Sample]:
        return [sample for sample in course.samples if sample.at in window]

    def count(times: Sequence[float], window: Window) -> str:
        return f"{sum(at in window for at in times):,}"

    def middle(figure: Callable[[Sample], float], digits: int = 0) -> tuple[str, ...]:
        return tuple(
            f"{percentile([figure(sample) for sample in samples(part)], 50):,.{digits}f}" if samples(part) else "-"
            for part in parts
        )

    def most(figure: Callable[[Sample], float], digits: int = 0) -> tuple[str, ...]:
        return tuple(f"{max(map(figure, samples(part)), default=0):,.{digits}f}" for part in parts)

    def sum_of(who: str) -> Callable[[Sample], float]:
        return lambda sample: sum(process.memory for process in sample.of(who)) / MB

    def resident(who: str) -> Callable[[Sample], float]:
        return lambda sample: sum(process.rss for process in sample.of(who)) / MB

    def processes(sample: Sample) -> float:
        return len(sample.processes)

    rows = [
        ("studies that came", *(count(course.arrived, part) for part in parts)),
        ("series derived, stored and checked", *(count(course.derived, part) for part in parts)),
        ("what went wrong", *(count([problem.at for problem in course.problems], part) for part in parts)),
        ("Orthanc, MB", *middle(sum_of(ORTHANC))),
        ("Orthanc, MB RSS", *middle(resident(ORTHANC))),
        ("workers, MB", *middle(sum_of(WORKERS))),
        ("the largest of them", *middle(lambda sample: sample.largest_worker / MB)),
        ("worker of the environment, MB", *middle(sum_of(ENVIRONMENT))),
        ("other processes, MB", *middle(sum_of(OTHERS))),
        ("all processes, MB", *middle(lambda sample: sample.together / MB)),
        ("all processes, MB, most", *most(lambda sample: sample.together / MB)),
        ("processes, most", *most(processes)),
        ("Orthanc's descriptors", *middle(lambda sample: sample.descriptors)),
        ("Orthanc's threads", *middle(lambda sample: sample.threads)),
        ("jobs that wait or run, most", *most(lambda sample: sample.unfinished)),
        ("jobs file, MB, most", *most(lambda sample: sample.jobs_file / MB, 2)),
        ("its write-ahead log, MB, most", *most(lambda sample: sample.wal / MB, 2)),
        ("jobs folder, MB, most", *most(lambda sample: sample.jobs_folder / MB, 1)),
        ("load of the whole machine", *middle(lambda sample: sample.load, 1)),
        ("storage, MB, most", *most(lambda sample: sample.storage / MB)),
    ]
    return Table(title, ("", *(part.name for part in parts)), tuple(rows), notes)


def _answers(course: Course) -> Table:
    routes = sorted({answer.route for answer in course.answers})
    rows = []
    for route in routes:
        answers = [answer for answer in course.answers if answer.route == route]
        cells = [_milliseconds([a.seconds for a in answers if a.at in part]) for part in windows(course)]
        rows.append((route, f"{len(answers):,}", _milliseconds([a.seconds for a in answers]), *cells))
    return Table(
        "Soak: answers, ms: p50 / p99 / most",
        ("route", "answers", "all", *(part.name for part in windows(course))),
        tuple(rows),
        (
            "Each over a connection of its own. What derives answers when its series is stored and verified; "
            "STOW-RS is a whole study.",
        ),
    )


def _milliseconds(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    return " / ".join(
        f"{value * 1e3:,.0f}" for value in (percentile(seconds, 50), percentile(seconds, 99), max(seconds))
    )


def _verdict(course: Course) -> Table:
    return Table(
        "Soak: verdict",
        ("criterion", "measured", "bound", "met"),
        tuple(criterion.row for criterion in criteria(course)),
        (
            "Memory is what is a process's own (Pss_Anon and Pss_Shmem): pages of files count by who else has them. "
            "Growth is that over 1,500 studies, by the median slope of all pairs of samples (Theil-Sen) after the "
            "first sixth of the time, which does not count.",
        ),
    )
