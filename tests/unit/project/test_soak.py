"""What `make soak` passes and fails, on courses made up: a leak, a lost series or a slow answer is not overlooked."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench_tables import Table
from kept_section import rewritten, with_section
from soak_course import ENVIRONMENT, ORTHANC, OTHERS, WORKERS, Answer, Course, Problem, Process, Sample
from soak_plan import ACTS, BY_RULE, NOTE, SLICES, STUDIES_PER_DAY, StudyPlan, odd_moments, plans
from soak_tables import tables
from soak_verdict import FLAT_MB, QUICK_ROUTES, Criterion, broken, criteria, growth

MB = 1_000_000
MINUTES = 60.0


def sample(minute: float) -> Sample:
    """Flat but for what caches and overflow workers do; the first minutes grow."""
    chance = random.Random(minute)
    warming = min(minute / 8, 1.0)
    orthanc = Process(1, ORTHANC, int((100 + 200 * warming) * MB) + chance.randrange(8 * MB), 400 * MB, 40, 80)
    workers = [Process(pid, WORKERS, 240 * MB + chance.randrange(40 * MB), 300 * MB, 9, 5) for pid in (2, 3)]
    more = [Process(4, OTHERS, 140 * MB, 200 * MB, 9, 5)] if chance.random() < 0.3 else []
    apart = [Process(100 + int(minute), ENVIRONMENT, 150 * MB, 200 * MB, 9, 5)]
    return Sample(
        minute * 60, (orthanc, *workers, *apart, *more), jobs_file=int((1 + warming) * MB), wal=4 * MB,
        jobs_folder=10 * MB, storage=900 * MB, unfinished=0 if minute >= MINUTES else chance.randrange(8), load=1.5,
    )  # fmt: skip


def flat() -> Course:
    """An hour as it must be."""
    studies = [60.0 * number / 25 for number in range(1500)]
    answers = [
        Answer(at, route, 0.01 + 0.1 * (number % 100 == 0), 200)
        for number, at in enumerate(studies)
        for route in QUICK_ROUTES
    ]
    samples = [sample(number / 6) for number in range(int(MINUTES) * 6 + 25)]
    return Course(
        MINUTES, samples=samples, answers=answers, arrived=studies, checked=studies, derived=studies, jobs=1500,
        failures={"Cancelled": 90}, cancelled=90,
    )  # fmt: skip


def growing(who: str, bytes_an_hour: float) -> Callable[[Course], None]:
    """Processes of one kind that leak."""

    def leak(course: Course) -> None:
        course.samples = [
            dataclasses.replace(
                each,
                processes=tuple(
                    dataclasses.replace(process, memory=process.memory + int(bytes_an_hour * each.at / 3600))
                    if process.who == who
                    else process
                    for process in each.processes
                ),
            )
            for each in course.samples
        ]

    return leak


def unlike(jobs_file: int = MB, wal: int = MB, unfinished: int = 0, index: int = 200) -> Callable[[Course], None]:
    """One sample with other values."""

    def change(course: Course) -> None:
        course.samples[index] = dataclasses.replace(
            course.samples[index], jobs_file=jobs_file, wal=wal, unfinished=unfinished
        )

    return change


def leaking_descriptors(course: Course) -> None:
    course.samples = [
        dataclasses.replace(
            each,
            processes=tuple(
                dataclasses.replace(process, descriptors=process.descriptors + int(each.at / 300))
                for process in each.processes
            ),
        )
        for each in course.samples
    ]


def growing_jobs_file(course: Course) -> None:
    course.samples = [
        dataclasses.replace(each, jobs_file=each.jobs_file + int(3 * MB * each.at / 3600)) for each in course.samples
    ]


def slow_pages(course: Course) -> None:
    course.answers += [Answer(3000.0, QUICK_ROUTES[0], 2.0, 200)] * 20


def names(found_broken: list[Criterion]) -> list[str]:
    return [criterion.name for criterion in found_broken]


def test_an_hour_that_is_flat_passes() -> None:
    assert [criterion for criterion in criteria(flat()) if criterion.met is not True] == []


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (growing(ORTHANC, 25 * MB), "growth of Orthanc's process"),
        (growing(WORKERS, 25 * MB), "growth of the largest worker"),
        (growing(ENVIRONMENT, 100 * MB), "growth of all processes"),
        (leaking_descriptors, "growth of Orthanc's descriptors"),
        (growing_jobs_file, "growth of the jobs file"),
        (unlike(jobs_file=33 * MB), "jobs file at the most"),
        (unlike(wal=17 * MB), "its write-ahead log at the most"),
        (unlike(unfinished=61), "jobs that wait or run at the most"),
        (unlike(unfinished=1, index=-1), "jobs in the queue in the end"),
        (slow_pages, f"p99 of {QUICK_ROUTES[0]}"),
        (lambda course: course.answers.append(Answer(9.0, "STOW-RS", 61.0, 200)), "the longest answer"),
        (lambda course: course.problems.append(Problem(9.0, "a request was refused")), "refused or failed requests"),
        (lambda course: setattr(course, "checked", course.checked[:-1]), "studies with exactly their series"),
        (lambda course: setattr(course, "missing", 1), "series lost"),
        (lambda course: setattr(course, "surplus", 1), "series doubled"),
        (lambda course: course.failures.update(StorageError=1), "failed jobs"),
        (lambda course: course.failures.update(Cancelled=91), "jobs cancelled"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_must_be_breaks_its_criterion(spoil: Callable[[Course], None], name: str) -> None:
    course = flat()
    spoil(course)
    assert any(each.startswith(name) for each in names(broken(course))), names(broken(course))


def grown(moments: Sequence[float], cycle_seconds: float) -> float:
    """The growth in MB that is seen of a process that has no more after each cycle than before it."""
    memory = [Process(1, ORTHANC, int((205 + 20 * (at / cycle_seconds % 1)) * MB), 0, 40, 80) for at in moments]
    samples = [
        dataclasses.replace(sample(0), at=at, processes=(each,)) for at, each in zip(moments, memory, strict=True)
    ]
    return growth(samples, lambda each: each.orthanc) / MB


@pytest.mark.parametrize("cycle_seconds", [29.9, 30.1, 30.15, 60.3])
def test_memory_that_is_given_back_at_intervals_does_not_grow(cycle_seconds: float) -> None:
    assert abs(grown(list(odd_moments(10.0, 3600)), cycle_seconds)) < FLAT_MB / 3


def test_who_looks_in_step_is_mistaken() -> None:
    """The reason for odd moments: the test above can fail."""
    assert abs(grown([10.0 * turn for turn in range(60, 360)], 30.15)) > FLAT_MB / 2


def test_there_is_one_odd_moment_in_each_interval() -> None:
    assert [int(moment / 10) for moment in odd_moments(10.0, 3600)] == list(range(360))


def test_a_short_soak_tells_nothing_of_growth_and_all_of_the_rest() -> None:
    course = flat()
    course.minutes = 2
    assert {criterion.met for criterion in criteria(course) if criterion.name.startswith("growth")} == {None}
    course.missing = 1
    assert names(broken(course)) == ["series lost"]


def test_a_soak_in_which_nothing_came_does_not_pass() -> None:
    assert "studies with exactly their series" in names(broken(Course(MINUTES)))


def test_the_tables_have_six_columns_of_time_and_every_criterion() -> None:
    course, answers, verdict = tables(flat(), "Soak", ("scaled",))
    assert course.columns[1:] == (
        "0 to 10 min",
        "10 to 20 min",
        "20 to 30 min",
        "30 to 40 min",
        "40 to 50 min",
        "50 to 60 min",
    )
    rows = {row[0]: row[1:] for row in course.rows}
    assert rows["studies that came"] == ("250",) * 6 and rows["what went wrong"] == ("0",) * 6
    assert {row[0] for row in answers.rows} == set(QUICK_ROUTES)
    assert answers.rows[0][2] == "10 / 110 / 110"
    assert len(verdict.rows) == len(criteria(flat())) and {row[-1] for row in verdict.rows} == {"yes"}


def test_a_seed_settles_what_is_done_with_the_studies_of_a_day() -> None:
    studies = list(plans(MINUTES, 7))
    assert len(studies) == STUDIES_PER_DAY and studies == list(plans(MINUTES, 7)) != list(plans(MINUTES, 8))
    assert [study.arrives for study in studies] == sorted(study.arrives for study in studies)
    assert {study.act for study in studies} == set(ACTS)
    assert {study.verdict for study in studies} == {None, "Accept", "Reject"}
    assert not any(study.verdict for study in studies if study.act == "Late"), "what was accepted is not replaced"


def test_the_series_that_must_be_there_follow_from_the_plan() -> None:
    study = StudyPlan(1, 0.0, "segment", "Measure", "Reject", 0.0)
    assert study.expected == {
        (study.description, SLICES): 1, (BY_RULE, 1): 1, (NOTE, 1): 1,
        ("measured (mask)", 1): 1, ("measured (masked)", SLICES): 1,
    }  # fmt: skip
    cancelled = StudyPlan(1, 0.0, "smooth", "Cancel", None, 0.0)
    assert cancelled.expected == {(cancelled.description, SLICES): 1, (BY_RULE, SLICES): 1}, (
        "nothing of what was cancelled"
    )


def test_a_section_is_put_in_place_of_the_former_one() -> None:
    once = with_section("# Benchmarks\n\ntext\n", "soak", "## Soak\n\nfirst")
    both = with_section(once, "other", "## Other")
    again = with_section(both, "soak", "## Soak\n\nsecond")
    assert again.startswith("# Benchmarks\n\ntext\n") and again.index("second") < again.index("## Other")
    assert "first" not in again and again.count("## Soak") == 1


@pytest.mark.slow
def test_the_bench_keeps_the_sections_that_others_have_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bench  # here: it brings all that it measures

    path = tmp_path / "BENCHMARKS.md"
    path.write_text(with_section("# Benchmarks\n\nold figures\n", "soak", "## Soak\n\nof an hour"))
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    bench._write([Table("Build", ("way", "ms"), (("ours", "1"),))], [], True, "a machine")
    document = path.read_text()
    assert "old figures" not in document and "## Build" in document
    assert document.endswith("<!-- kept: soak -->\n\n## Soak\n\nof an hour\n\n<!-- end of soak -->\n")
    assert rewritten(document, document.partition("<!--")[0]) == document
