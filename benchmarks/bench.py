"""Measures what a derivation costs, prints tables, and writes BENCHMARKS.md and its plot.

`bench.py [--quick] [--only PART ...]`. Orthancs of its own are started, with their storage in the temporary folder.
`--quick` leaves the large series out; with `--only`, or `--no-write`, nothing is written.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import bench_build
import bench_crowded
import bench_load
import bench_machines
import bench_memory
import bench_objects
import bench_plot
import bench_review
import bench_through
from bench_tables import Table, Target, machine, targets_table
from kept_section import rewritten
from orthanc_server import OrthancFailed

ROOT = Path(__file__).resolve().parent.parent
PLOT = ROOT / "docs" / "benchmark-growth.svg"

_HOW_TO_READ = """\
`make bench` measures all of this again and rewrites this file, but for what `make soak` has written at its end. The
seconds are of one machine on one day; what carries over are the ratios. Ways that are compared run in turns,
A B C A B C ..., after one round that does not count; a ratio is the median over the rounds of the ratios within a
round. All series are 512 x 512 CT, 0.52 MB a slice as stored; those of 10b and 11 are tiny. Where first touching memory
is dear (see the line above), so is everything that holds a volume; the copy holds none.
"""

Part = tuple[Table, list[Target]]


def build(quick: bool) -> Iterator[Part]:
    yield bench_build.measure(slices=100 if quick else 300, repeats=3 if quick else 9)


def through(quick: bool) -> Iterator[Part]:
    measured = bench_through.measure({1: 7, 30: 7, 300: 5} if quick else {1: 15, 30: 11, 300: 9, 2000: 3})
    if len(measured) > 1 and not quick:
        bench_plot.draw(measured, PLOT)
    yield bench_through.table(measured), bench_through.targets(measured)
    yield bench_through.phases_table(measured), []


def memory(quick: bool) -> Iterator[Part]:
    peaks = bench_memory.measure([300] if quick else [300, 1000, 2000, *_very_large()])
    yield bench_memory.table(peaks), bench_memory.targets(peaks)


def latency(quick: bool) -> Iterator[Part]:
    yield bench_load.latency(slices=100, seconds=5 if quick else 20)


def workers(quick: bool) -> Iterator[Part]:
    yield bench_load.workers(slices=60, rounds=2 if quick else 5)


def objects(quick: bool) -> Iterator[Part]:
    slices, repeats = (60, 3) if quick else (300, 7)
    yield bench_objects.segmentations(slices, (24,) if quick else (24, 104), repeats)
    yield bench_objects.others(slices, repeats)


def review(quick: bool) -> Iterator[Part]:
    yield bench_review.measure(60 if quick else 300, (3, 108), 2 if quick else 5), []


def crowded(quick: bool) -> Iterator[Part]:
    sizes = {30: 3} if quick else {100: 7, 300: 5}
    tables, targets = bench_crowded.measure(100 if quick else 1000, sizes, 50 if quick else 150, 3 if quick else 7)
    for table in tables:
        yield table, [] if table is not tables[0] else targets


def machines(quick: bool) -> Iterator[Part]:
    jobs, seconds = (8, 1.0) if quick else (40, 5.0)
    tables, targets = bench_machines.measure(jobs, seconds, 20 if quick else 60, 10.0 if quick else 60.0)
    for table in tables:
        yield table, [] if table is not tables[0] else targets


PARTS: dict[str, Callable[[bool], Iterator[Part]]] = {
    "build": build, "through": through, "memory": memory, "latency": latency, "workers": workers, "objects": objects,
    "review": review, "crowded": crowded, "machines": machines,
}  # fmt: skip


def _very_large() -> list[int]:
    """5,000 slices, where memory and disk have room for them and for whoever else is there."""
    available = next(line for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line)
    room = int(available.split()[1]) * 1024 > 18e9 and shutil.disk_usage("/tmp").free > 30e9
    return [5000] if room else []


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measures derivations on real Orthancs.")
    parser.add_argument("--quick", action="store_true", help="leave the large series out, repeat less")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="measure these parts, write nothing")
    parser.add_argument("--no-write", action="store_true", help="print the tables only")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # of highdicom, about its own arguments
    tables: list[Table] = []
    targets: list[Target] = []
    load = os.getloadavg()[0]
    described = f"{machine()}; load {load:.1f} when it began"
    print(f"bench: {described}", flush=True)
    try:
        for name in options.only or PARTS:
            for table, wanted in PARTS[name](options.quick):
                tables.append(table)
                targets += wanted
                print("\n" + table.markdown(), flush=True)
    except OrthancFailed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    print(targets_table(targets).markdown())
    if not options.only and not options.no_write:
        _write(tables, targets, options.quick, described)
    return 0


def _write(tables: list[Table], targets: list[Target], quick: bool, described: str) -> None:
    how = "Measured with `--quick`: the large series are missing. " if quick else ""
    parts = [
        "# Benchmarks\n",
        f"{how}{described}.\n",
        _HOW_TO_READ,
        targets_table(targets).markdown(),
        *(table.markdown() for table in tables),
    ]
    if not quick:
        growth = f"## 6. Growth with the number of slices\n\n![seconds over slices]({PLOT.relative_to(ROOT)})\n"
        parts.append(growth)
    path = ROOT / "BENCHMARKS.md"
    former = path.read_text() if path.exists() else ""
    path.write_text(rewritten(former, "\n".join(parts)))
    print(f"bench: wrote BENCHMARKS.md{'' if quick else f' and {PLOT.relative_to(ROOT)}'}")


if __name__ == "__main__":
    sys.exit(main())
