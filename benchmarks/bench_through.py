"""The whole derivation through Orthanc against copying the same series through it, and how both grow with slices."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import requests

from bench_data import COLUMNS, ROWS, npy, parent_files
from bench_server import SECONDS, Stored, derive, derive_image, keep_only, orthanc, upload
from bench_tables import Table, Target, interleaved, ratio, spread

COPY, PIPELINE, IMAGE = "copy", "derive, pipeline", "derive, .npy"

#: How the copy is cut: instances of a request, and requests at once (the quickest that was found for Orthanc).
_CUT, CONNECTIONS = 30, 4
_TARGET_SLICES = 300


@dataclass(frozen=True, slots=True)
class Measured:
    """The times of one size.

    :param seconds: of each way, round by round.
    :param phases: seconds of each phase, of each way, as the plugin reports them; one entry for each derivation.
    """

    slices: int
    seconds: dict[str, list[float]]
    phases: dict[str, list[dict[str, float]]]

    def ratio(self, way: str) -> float:
        return ratio(self.seconds, way, COPY)

    def median(self, way: str) -> float:
        return statistics.median(self.seconds[way])


def measure(sizes: dict[int, int]) -> list[Measured]:
    """Measure each size in an Orthanc of its own. :param sizes: rounds by number of slices."""
    return [_measure(slices, rounds) for slices, rounds in sizes.items()]


def _measure(slices: int, rounds: int) -> Measured:
    with orthanc() as server:
        parent = upload(server, slices)
        ready = list(parent_files(slices, series="copy"))
        image = npy(slices)
        phases: dict[str, list[dict[str, float]]] = {PIPELINE: [], IMAGE: []}
        calls: dict[str, Callable[[], object]] = {
            COPY: lambda: copy(server.url, parent, ready),
            PIPELINE: lambda: phases[PIPELINE].append(derive(server, parent)["Seconds"]),
            IMAGE: lambda: phases[IMAGE].append(derive_image(server, parent, image)["Seconds"]),
        }
        seconds = interleaved(calls, rounds, between=partial(keep_only, server, parent))
    return Measured(slices, seconds, {way: rounds_of_way[1:] for way, rounds_of_way in phases.items()})


def copy(url: str, parent: Stored, ready: list[bytes], connections: int = CONNECTIONS) -> None:
    """Fetch the parent in one WADO-RS request, then store ready files by STOW-RS: the bytes of a derivation alone."""
    studies = f"{url}/dicom-web/studies"
    study = f"{studies}/{parent.study_instance_uid}"
    headers = {
        "Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*',
        "Accept-Encoding": "identity",
    }
    with requests.Session() as session:
        session.trust_env = False
        with session.get(
            f"{study}/series/{parent.series_instance_uid}", headers=headers, stream=True, timeout=SECONDS
        ) as answer:
            answer.raise_for_status()
            got = sum(len(block) for block in answer.iter_content(1 << 20))
    if got < sum(map(len, ready)):
        raise AssertionError(f"the copy fetched {got} bytes only")
    with ThreadPoolExecutor(connections) as pool:
        chunks = [pool.submit(_stow, studies, ready[i : i + _CUT]) for i in range(0, len(ready), _CUT)]
        stored = sum(chunk.result() for chunk in chunks)
    if stored != len(ready):
        raise AssertionError(f"the copy stored {stored} of {len(ready)} instances")


def _stow(url: str, files: Sequence[bytes]) -> int:
    parts = (
        b"--cut\r\nContent-Type: application/dicom\r\nContent-Length: %d\r\n\r\n" % len(file) + file + b"\r\n"
        for file in files
    )
    body = b"".join(itertools.chain(parts, [b"--cut--\r\n"]))
    headers = {
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=cut',
        "Accept": "application/dicom+json",
        "Accept-Encoding": "identity",
    }
    answer = requests.post(url, data=body, headers=headers, timeout=SECONDS)
    answer.raise_for_status()
    return len(answer.json()["00081199"]["Value"])


def table(measured: Sequence[Measured]) -> Table:
    return Table(
        f"2. Whole derivation through Orthanc, {ROWS} x {COLUMNS} CT, against copying the series through it",
        ("slices", "MB", "way", "seconds, median (least-most)", "ms a slice", "time to the copy"),
        tuple(itertools.chain.from_iterable(map(_rows, measured))),
        (
            "The copy is the least that any derivation moves: one WADO-RS request for the parent, then STOW-RS of "
            f"ready files, {_CUT} a request over {CONNECTIONS} connections. A derivation is one request to the plugin "
            "until its answer: a durable job, fetch, image, encoding, STOW-RS, verification.",
            "`pipeline` halves the parent's values (float32, quantised again); `.npy` sends an int16 volume in the "
            "request. MB are those of the series as it is stored.",
        ),
    )


def phases_table(measured: Sequence[Measured]) -> Table:
    names = list(dict.fromkeys(name for each in measured for times in each.phases.values() for name in times[0]))
    rows = []
    for each in measured:
        for way, rounds_of_way in each.phases.items():
            medians = [statistics.median(phases.get(name, 0.0) for phases in rounds_of_way) for name in names]
            rest = each.median(way) - sum(medians)
            rows.append((f"{each.slices:,}", way, *(f"{seconds:.3f}" for seconds in (*medians, rest))))
    return Table(
        "2a. Where the seconds of a derivation go",
        ("slices", "way", *(name.lower() for name in names), "the rest"),
        tuple(rows),
        ("Medians, as the worker tells them in the answer. The rest is the request: its body, the job, the answer.",),
    )


def _rows(measured: Measured) -> Iterator[tuple[str, ...]]:
    for way, times in measured.seconds.items():
        yield (
            f"{measured.slices:,}",
            f"{measured.slices * ROWS * COLUMNS * 2 / 1e6:,.1f}",
            way,
            spread(times, digits=3 if measured.slices < _TARGET_SLICES else 2),
            f"{measured.median(way) / measured.slices * 1e3:.2f}",
            f"{measured.ratio(way):.2f}x",
        )


def targets(measured: Sequence[Measured]) -> list[Target]:
    at = {each.slices: each for each in measured}.get(_TARGET_SLICES)
    return [
        Target(f"(2) {way}, {_TARGET_SLICES} slices: its time to the copy's", 1.3, at.ratio(way) if at else None)
        for way in (PIPELINE, IMAGE)
    ]
