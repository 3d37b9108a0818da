"""Peak memory of a derivation: the plugin's worker and what Orthanc grows by, against the volume's bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench_data import COLUMNS, ROWS, npy
from bench_server import Stored, derive, derive_image, keep_only, orthanc, upload
from bench_tables import Table, Target
from orthanc_server import OrthancServer

_PERIOD_SECONDS = 0.02
_MB = 1e6
_FLAT_FROM = 1000

PIPELINE, IMAGE = "pipeline", ".npy"


@dataclass(slots=True)
class Sampler:
    """Memory in bytes, as PSS (what is shared counts in part), at the start and at the most."""

    server: OrthancServer
    idle_orthanc: int = 0
    idle_workers: int = 0
    orthanc: int = 0
    workers: int = 0
    together: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.idle_orthanc, self.idle_workers = self._sizes()

    def _sizes(self) -> tuple[int, int]:
        return pss(self.server.pid), sum(pss(pid) for pid in self.server.children())

    def run(self) -> None:
        while not self.stop.wait(_PERIOD_SECONDS):
            orthanc_now, workers_now = self._sizes()
            grown = orthanc_now - self.idle_orthanc
            self.orthanc = max(self.orthanc, grown)
            self.workers = max(self.workers, workers_now)
            self.together = max(self.together, grown + workers_now)


def pss(pid: int) -> int:
    """The proportional set size of a process, in bytes; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


@contextmanager
def sampled(server: OrthancServer) -> Iterator[Sampler]:
    sampler = Sampler(server)
    thread = threading.Thread(target=sampler.run, name="memory sampler")
    thread.start()
    try:
        yield sampler
    finally:
        sampler.stop.set()
        thread.join()


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes at the most during one derivation; ``orthanc`` is what Orthanc grew by."""

    slices: int
    way: str
    idle: int
    workers: int
    orthanc: int
    together: int

    @property
    def volume(self) -> int:
        """Bytes of the volume as float32, which is what a pipeline computes with."""
        return self.slices * ROWS * COLUMNS * 4

    @property
    def ratio(self) -> float:
        return self.together / self.volume


def measure(sizes: Sequence[int]) -> list[Peak]:
    """One derivation of each kind for each number of slices; each in an Orthanc just started."""
    return [peak for slices in sizes for peak in (_pipeline(slices), _image(slices))]


def _pipeline(slices: int) -> Peak:
    with orthanc(workers=1) as server:
        parent = upload(server, slices)
        return _peak(server, parent, PIPELINE, partial(derive, server, parent))


def _image(slices: int) -> Peak:
    with orthanc(workers=1) as server:
        parent = upload(server, slices)
        return _peak(server, parent, IMAGE, partial(derive_image, server, parent, npy(slices)))


def _peak(server: OrthancServer, parent: Stored, way: str, call: Callable[[], object]) -> Peak:
    small = upload(server, 2, series="warm up")
    derive(server, small)
    keep_only(server, parent)
    with sampled(server) as sampler:
        call()
    return Peak(parent.slices, way, sampler.idle_workers, sampler.workers, sampler.orthanc, sampler.together)


def table(peaks: Sequence[Peak]) -> Table:
    rows = [
        (
            f"{peak.slices:,}",
            peak.way,
            f"{peak.volume / _MB:,.0f}",
            f"{peak.idle / _MB:,.0f}",
            f"{peak.workers / _MB:,.0f}",
            f"{peak.orthanc / _MB:,.0f}",
            f"{peak.together / _MB:,.0f}",
            f"{peak.ratio:.2f}x",
        )
        for peak in peaks
    ]
    return Table(
        f"3. Peak memory of one derivation of {ROWS} x {COLUMNS} slices, MB",
        ("slices", "way", "volume", "worker idle", "worker", "Orthanc grew", "together", "to the volume"),
        tuple(rows),
        (
            "PSS of Orthanc and of its worker, every 20 ms, each derivation in an Orthanc just started. The volume is "
            "that of float32, which a pipeline computes with; as stored, 16 bits, it is half of that. `together` is "
            "the most that the worker and Orthanc's growth were at one moment.",
        ),
    )


def targets(peaks: Sequence[Peak]) -> list[Target]:
    large = [peak for peak in peaks if peak.way == PIPELINE and peak.slices >= _FLAT_FROM]
    flat = large[-1].ratio / large[0].ratio if len(large) > 1 else None
    worst = max((peak.ratio for peak in peaks if peak.slices >= 300), default=None)
    return [
        Target("(3) peak memory to the volume's bytes", 3, worst),
        Target(f"(3) the same, largest series to {_FLAT_FROM:,} slices", 1.05, flat),
    ]
