"""Objects of one instance, gate and all: segmentations beside highdicom's own writing, others beside classic series."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
from highdicom.seg import SegmentDescription
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from bench_data import COLUMNS, ROWS, parent_files, volume
from bench_tables import Table, Target, interleaved, ratio, spread
from derived_series import Blueprint, NumpyFactory, Segment, real_world_values, segments
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.pipelines.gate import STRICT, check_series
from derived_series.pipelines.library import Library

BLUEPRINTS = Path(__file__).resolve().parent.parent / "blueprints"
_OURS, _THEIRS = "derived_series", "highdicom"


def labels(slices: int, count: int) -> npt.NDArray[np.uint8]:
    """A label map of ellipsoids in rows, each through a part of the slices; of many labels, each through fewer."""
    label_map = np.zeros((slices, ROWS, COLUMNS), np.uint8)
    across = int(np.ceil(np.sqrt(count)))
    step = ROWS // across
    down, right = np.mgrid[:step, :step] / (step / 2) - 1
    depth = slices if count <= 24 else slices // 3
    for number in range(1, count + 1):
        row, column = divmod(number - 1, across)
        begin = (number * 37) % (slices - depth + 1)
        for index in range(depth):
            height = 2 * index / depth - 1
            inside = down**2 + right**2 < 1.05 - height**2
            place = label_map[begin + index, row * step : (row + 1) * step, column * step : (column + 1) * step]
            place[inside] = number
    return label_map


def _described(count: int) -> list[Segment]:
    return [Segment(number, f"Organ {number}", "Organ", color="#4080c0") for number in range(1, count + 1)]


def ours(
    parent: ParentSeries, image: npt.NDArray[Any], name: str, extra: Blueprint, syntax: str = ""
) -> Callable[[], int]:
    """From the parent and the image to the bytes of every instance, one at a time, with all checks: their number."""
    blueprint = Library.load([BLUEPRINTS]).blueprint(name).blueprint + extra

    def run() -> int:
        factory = NumpyFactory()
        series = check_series(factory.build(factory.make_series_header(parent, blueprint), image), parent, STRICT)
        series = series.written_in(syntax) if syntax else series
        return sum(len(series.buffer(index)) for index in range(len(series)))

    return run


def theirs(
    parent: ParentSeries, image: npt.NDArray[np.uint8], count: int, kind: str, syntax: str = ExplicitVRLittleEndian
) -> Callable[[], int]:
    """highdicom's segmentation of the same labels, written to memory."""

    def run() -> int:
        items = []
        for segment in _described(count):
            item: Dataset = segment.item()
            item.SegmentAlgorithmType = "MANUAL"
            items.append(SegmentDescription.from_dataset(item))
        segmentation = highdicom.seg.Segmentation(
            parent.instances, image, kind, items, "2.25.1", 1001, "2.25.2", 1, "Bench", "Bench", "1", "1",
            transfer_syntax_uid=syntax, omit_empty_frames=kind != "LABELMAP",
        )  # fmt: skip
        buffer = io.BytesIO()
        segmentation.save_as(buffer, enforce_file_format=True)
        return len(buffer.getvalue())

    return run


#: Name, blueprint, highdicom's kind, transfer syntax, and how long ours may take to highdicom's.
_KINDS = (
    ("binary", "segmentation", "BINARY", "", 0.5),
    ("label map", "label_map_segmentation", "LABELMAP", "", 0.6),
    ("label map in RLE", "label_map_segmentation", "LABELMAP", "RLELossless", 0.7),
)


def segmentations(slices: int, counts: Sequence[int], repeats: int) -> tuple[Table, list[Target]]:
    """Segmentations beside highdicom's of the same labels, in turns."""
    parent = ParentSeries.from_bytes(parent_files(slices))
    rows, targets = [], []
    for count in counts:
        image = labels(slices, count)
        extra = segments(*_described(count))
        for name, blueprint, kind, syntax, bound in _KINDS:
            sizes: dict[str, int] = {}
            our_run = ours(parent, image, blueprint, extra, syntax)
            other = theirs(parent, image, count, kind, RLELossless if syntax else ExplicitVRLittleEndian)
            seconds = interleaved(
                {_OURS: partial(_measured, our_run, sizes, _OURS), _THEIRS: partial(_measured, other, sizes, _THEIRS)},
                repeats,
            )
            times, size = ratio(seconds, _OURS, _THEIRS), sizes[_OURS] / sizes[_THEIRS]
            rows.append(
                (
                    f"{name}, {count} labels",
                    *(spread(seconds[way]) for way in (_OURS, _THEIRS)),
                    f"{times:.2f}x",
                    f"{sizes[_OURS] / 1e6:,.1f} MB",
                    f"{size:.3f}x",
                )
            )
            targets.append(Target(f"(7) {name} of {count} labels: our time to highdicom's", bound, times))
            if syntax:
                targets.append(Target(f"(7) {name} of {count} labels: our bytes to highdicom's", 1.05, size))
    table = Table(
        f"7. Segmentations of {slices} x {ROWS} x {COLUMNS}",
        ("object", "ours, s", "highdicom, s", "time to its", "ours", "bytes to its"),
        tuple(rows),
        ("Ours is the header, the build, the gate and the bytes; highdicom's is its constructor and the bytes.",),
    )
    return table, targets


def _measured(way: Callable[[], int], sizes: dict[str, int], name: str) -> None:
    sizes[name] = way()


def others(slices: int, repeats: int) -> tuple[Table, list[Target]]:
    """Objects of one instance beside the classic series of the same slices, in turns."""
    parent, image = ParentSeries.from_bytes(parent_files(slices)), volume(slices)
    organs = labels(slices, 24)
    images: dict[str, npt.NDArray[Any]] = {
        "fractional_segmentation": (organs > 0)[None] * np.float32(0.75),
        "rt_structure_set": organs,
        "overlay": organs,
        "summary": organs,
    }
    extra = {
        "parametric_map": real_world_values("[hnsf'U]"),
        "fractional_segmentation": segments(*_described(1)),
        "rt_structure_set": segments(*_described(24)),
        "overlay": segments(*_described(24)),
        "summary": segments(*_described(24)),
    }
    bounds = {"parametric_map": 3, "legacy_enhanced_ct": 2.5}
    seconds = interleaved(
        {
            name: ours(parent, images.get(name, image), name, extra.get(name, Blueprint()))
            for name in ("ct", *bounds, *images)
        },
        repeats,
    )
    rows = tuple((name, spread(times), f"{ratio(seconds, name, 'ct'):.2f}x") for name, times in seconds.items())
    notes = ("The fractional segmentation is of one map of probabilities; all else is of 24 ellipsoids.",)
    table = Table(
        f"8. Other objects of {slices} slices", ("blueprint", "s", "time to the classic series'"), rows, notes
    )
    return table, [
        Target(f"(8) {name}: our time to the classic series'", bound, ratio(seconds, name, "ct"))
        for name, bound in bounds.items()
    ]
