"""What it costs that Orthanc holds many instances already: an empty one and a crowded one, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import requests

from bench_crowd import DATABASE, INSTANCES, data, storage
from bench_data import COLUMNS, ROWS, parent_files
from bench_server import PIPELINE, SECONDS, Stored, derive, orthanc, upload
from bench_tables import Table, Target, interleaved, percentile, ratio, spread
from bench_through import copy
from orthanc_server import OrthancServer, merged
from phantoms import ct_phantom
from postgresql_server import PostgresqlServer
from two_orthancs import over_postgresql

_EMPTY, _CROWDED = "empty", "crowded"
_COPY, _DERIVE = "copy", "derive, pipeline"
_DESCRIPTION = "for the rule"
_RULES = {
    "DerivedSeries": {
        "Rules": [
            {
                "Name": "bench",
                "Match": {"SeriesDescription": _DESCRIPTION},
                "Derive": {"Pipeline": PIPELINE},
            }
        ]
    }
}
_POLL_SECONDS = 0.005
#: It reads a page of Orthanc's log of changes, which is shorter in an empty one: its ratio is no target's.
_OF_A_PAGE = "rules/simulate"
#: Orthanc looks once a second for series that are stable: series come at another moment of that second each time.
_GOLDEN_RATIO = 0.618

#: Slices of the series that pages are asked about: some of their answers need all of its headers.
_SHOWN_SLICES = 20

#: Seconds of each call, by what is called and where (empty, crowded).
Seconds = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, slots=True)
class Measured:
    """The times with one kind of index.

    :param index: the database of Orthanc's index. :param derivations: by slices and way; :param answers: by address.
    """

    index: str
    derivations: dict[int, Seconds]
    answers: Seconds
    rules: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Place:
    """An Orthanc with a parent and what was derived of it."""

    server: OrthancServer
    parent: Stored
    derived: str

    @classmethod
    def of(cls, server: OrthancServer, slices: int) -> Place:
        parent = upload(server, slices, series=f"bench {slices}")
        derived = str(derive(server, parent)["ID"])
        server.json(f"/series/{derived}/review", "POST", json={"Verdict": "Accept", "User": "bench"})
        return cls(server, parent, derived)

    def clean(self) -> None:
        """Delete what was made of the parent since."""
        study = self.server.json(f"/series/{self.parent.orthanc_id}/study")
        for series in set(study["Series"]) - {self.parent.orthanc_id, self.derived}:
            self.server.json(f"/series/{series}", "DELETE", timeout=SECONDS)


def measure(studies: int, sizes: Mapping[int, int], answers: int, firings: int) -> tuple[list[Table], list[Target]]:
    """Measure with both kinds of index.

    :param studies: the number in the crowded Orthanc. :param sizes: rounds by number of slices.
    :param answers: of each route; :param firings: of the rule.
    """
    measured = []
    with _pair(_sqlite(studies)) as servers:
        _require_crowd(servers, studies)
        measured.append(_measure("SQLite", servers, sizes, answers, firings))
    with _postgresql(studies) as changes, _pair(changes) as servers:
        _require_crowd(servers, studies)
        measured.append(_measure("PostgreSQL", servers, sizes, answers, firings))
    instances = studies * INSTANCES
    return [
        _derivations_table(measured, instances),
        _answers_table(measured, instances),
        _rules_table(measured, instances),
    ], _targets(measured, instances)


def _require_crowd(servers: Mapping[str, OrthancServer], studies: int) -> None:
    """Check how many instances each Orthanc has. :raises AssertionError: the crowded or the empty one is not so."""
    counts = {name: server.json("/statistics")["CountInstances"] for name, server in servers.items()}
    if counts != {_EMPTY: 0, _CROWDED: studies * INSTANCES}:
        raise AssertionError(f"instances: {counts}, and there should be {studies * INSTANCES}")


#: How an Orthanc is started: changes of the configuration, and what is in its storage.
Start = tuple[Mapping[str, Any], Path | None]


def _sqlite(studies: int) -> dict[str, Start]:
    return {_EMPTY: ({}, None), _CROWDED: ({}, storage(studies))}


@contextmanager
def _postgresql(studies: int) -> Iterator[dict[str, Start]]:
    with ExitStack() as stack:
        empty = stack.enter_context(PostgresqlServer())
        empty.new_database(DATABASE)
        crowded = stack.enter_context(PostgresqlServer(data(studies)))
        yield {_EMPTY: (over_postgresql(empty, DATABASE), None), _CROWDED: (over_postgresql(crowded, DATABASE), None)}


@contextmanager
def _pair(starts: Mapping[str, Start]) -> Iterator[dict[str, OrthancServer]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(orthanc(1, merged(_RULES, changes), storage=files))
            for name, (changes, files) in starts.items()
        }


def _measure(
    index: str, servers: Mapping[str, OrthancServer], sizes: Mapping[int, int], answers: int, firings: int
) -> Measured:
    derivations = {slices: _derivations(_places(servers, slices), slices, rounds) for slices, rounds in sizes.items()}
    answers_of_small_series = _answers(_places(servers, _SHOWN_SLICES), answers)
    return Measured(index, derivations, answers_of_small_series, _firings(servers, firings))


def _places(servers: Mapping[str, OrthancServer], slices: int) -> dict[str, Place]:
    return {name: Place.of(server, slices) for name, server in servers.items()}


def _derivations(places: Mapping[str, Place], slices: int, rounds: int) -> Seconds:
    ready = list(parent_files(slices, series=f"copy {slices}"))
    calls: dict[str, Callable[[], object]] = {}
    for name, place in places.items():
        calls[f"{_COPY} {name}"] = partial(copy, place.server.url, place.parent, ready)
        calls[f"{_DERIVE} {name}"] = partial(derive, place.server, place.parent)

    def clean() -> None:
        for place in places.values():
            place.clean()

    seconds = interleaved(calls, rounds, between=clean)
    return {way: {name: seconds[f"{way} {name}"] for name in places} for way in (_COPY, _DERIVE)}


def _answers(places: Mapping[str, Place], rounds: int) -> Seconds:
    def asked(path: Callable[[Place], str], body: dict[str, Any] | None = None) -> dict[str, list[float]]:
        calls = {
            name: partial(place.server.json, path(place), "GET" if body is None else "POST", json=body)
            for name, place in places.items()
        }
        return interleaved(calls, rounds)

    return {
        "/series/{id} (Orthanc's)": asked(lambda place: f"/series/{place.derived}"),
        "status": asked(lambda place: "/derived-series/status"),
        "health": asked(lambda place: "/derived-series/health"),
        "jobs?expand": asked(lambda place: "/derived-series/jobs?expand"),
        "recent": asked(lambda place: "/derived-series/recent"),
        "rules": asked(lambda place: "/derived-series/rules"),
        _OF_A_PAGE: asked(lambda place: "/derived-series/rules/simulate", {"Last": 2}),
        "/series/{id}/jobs?expand": asked(lambda place: f"/series/{place.parent.orthanc_id}/jobs?expand"),
        "/series/{id}/derived": asked(lambda place: f"/series/{place.parent.orthanc_id}/derived"),
        "/series/{id}/review": asked(lambda place: f"/series/{place.derived}/review"),
        "/series/{id}/sources": asked(lambda place: f"/series/{place.derived}/sources"),
        "/series/{id}/manifest": asked(lambda place: f"/series/{place.derived}/manifest"),
    }


def _firings(servers: Mapping[str, OrthancServer], rounds: int) -> dict[str, list[float]]:
    turns = count()
    calls = {name: partial(_fire, server, turns) for name, server in servers.items()}
    moments = count(1)
    return interleaved(calls, rounds, between=lambda: time.sleep(next(moments) * _GOLDEN_RATIO % 1))


def _fire(server: OrthancServer, turns: Iterator[int]) -> None:
    """Store a series that the rule takes, and wait for its job."""
    name = f"rule {next(turns)}"
    datasets = ct_phantom(2, 8, 8, patient_id=name, series=name)
    for dataset in datasets:
        dataset.SeriesDescription = _DESCRIPTION
    series = server.upload(datasets)
    deadline = time.monotonic() + SECONDS
    with requests.Session() as session:
        while not session.get(f"{server.url}/series/{series}/jobs", timeout=SECONDS).json():
            if time.monotonic() > deadline:
                raise AssertionError(f"the rule did not fire in {SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)


def _derivations_table(measured: list[Measured], instances: int) -> Table:
    rows = []
    for each in measured:
        for slices, ways in each.derivations.items():
            for way, seconds in ways.items():
                rows.append(
                    (
                        each.index,
                        str(slices),
                        way,
                        spread(seconds[_EMPTY]),
                        spread(seconds[_CROWDED]),
                        f"{ratio(seconds, _CROWDED, _EMPTY):.2f}x",
                    )
                )
    return Table(
        f"10. Derivations of {ROWS} x {COLUMNS} slices in an Orthanc that holds {instances:,} instances",
        ("index", "slices", "way", "in an empty one, s", "in a crowded one, s", "crowded to empty"),
        tuple(rows),
        (
            f"The crowd is {instances // INSTANCES:,} studies of {INSTANCES} tiny instances of other patients. Over "
            "PostgreSQL, that has Orthanc's index and its files, and the plugin's jobs. Copy and pipeline are those of "
            "table 2; the four ways run in turns.",
        ),
    )


def _answers_table(measured: list[Measured], instances: int) -> Table:
    rows = []
    for each in measured:
        for path, seconds in each.answers.items():
            empty, crowded = seconds[_EMPTY], seconds[_CROWDED]
            rows.append(
                (
                    each.index,
                    path,
                    f"{percentile(empty, 50) * 1e3:.1f}",
                    f"{percentile(crowded, 50) * 1e3:.1f}",
                    f"{percentile(empty, 95) * 1e3:.1f}",
                    f"{percentile(crowded, 95) * 1e3:.1f}",
                    f"{ratio(seconds, _CROWDED, _EMPTY):.2f}x",
                )
            )
    return Table(
        f"10a. Answers of the plugin in an Orthanc that holds {instances:,} instances, ms",
        ("index", "address", "p50, empty", "p50, crowded", "p95, empty", "p95, crowded", "crowded to empty"),
        tuple(rows),
        (
            f"What has no series in its address is below `/derived-series/`. `{_OF_A_PAGE}` reads Orthanc's log of "
            "changes from its end, 2,000 at once: the empty one has fewer.",
        ),
    )


def _rules_table(measured: list[Measured], instances: int) -> Table:
    rows = tuple(
        (each.index, spread(each.rules[_EMPTY]), spread(each.rules[_CROWDED]), f"{_later(each.rules) * 1e3:.0f}")
        for each in measured
    )
    return Table(
        f"10b. From a series to the job of a rule in an Orthanc that holds {instances:,} instances",
        ("index", "in an empty one, s", "in a crowded one, s", "later, ms"),
        rows,
        ("From the last instance on; `StableAge`, 1 s here, is part of it, and Orthanc looks once a second.",),
    )


def _later(seconds: dict[str, list[float]]) -> float:
    return statistics.median(seconds[_CROWDED]) - statistics.median(seconds[_EMPTY])


def _targets(measured: list[Measured], instances: int) -> list[Target]:
    targets = []
    for each in measured:
        slices = max(each.derivations)
        targets.append(
            Target(
                f"(10) derive, {slices} slices, {each.index}: its time with {instances:,} instances to without",
                1.2,
                ratio(each.derivations[slices][_DERIVE], _CROWDED, _EMPTY),
            )
        )
        ratios = {path: ratio(seconds, _CROWDED, _EMPTY) for path, seconds in each.answers.items()}
        worst = max(value for path, value in ratios.items() if path != _OF_A_PAGE)
        targets.append(
            Target(
                f"(10a) answers, {each.index}: the slowest's time with {instances:,} instances to without", 1.5, worst
            )
        )
    return targets
