"""From a float32 volume to encoded CT instances: this package, a pydicom loop, highdicom, and the floor.

Every way gives each instance up at once, as a sender would.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from bench_data import COLUMNS, ROWS, parent_files, volume
from bench_tables import Table, Target, interleaved, ratio, spread
from derived_series.dicom.factories.base import NumpyFactory
from derived_series.dicom.series.classic import DerivedSeries
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.pipelines.library import Library

BLUEPRINTS = Path(__file__).resolve().parent.parent / "blueprints"

#: Keyword and value of an element; a sequence's value is a list of lists of these.
Plain = tuple[str, Any]

_OURS, _LOOP, _FLOOR, _FLOOR32 = "derived_series", "pydicom loop", "floor", "floor in float32"
_SC, _MAP = "highdicom SCImage", "highdicom ParametricMap"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A parent, a volume on its grid, and the ready series (a template for those who need its values)."""

    parent: ParentSeries
    image: npt.NDArray[np.float32]
    ready: DerivedSeries

    @classmethod
    def of(cls, slices: int) -> Case:
        parent = ParentSeries.from_bytes(parent_files(slices))
        image = volume(slices)
        factory = NumpyFactory()
        header = factory.make_series_header(parent, Library.load([BLUEPRINTS]).blueprint("ct").blueprint)
        ready = factory.build(header, image)
        assert isinstance(ready, DerivedSeries)
        return cls(parent, image, ready)


def ours(case: Case, with_header: bool = False) -> Callable[[], Iterator[bytes | memoryview]]:
    blueprint = Library.load([BLUEPRINTS]).blueprint("ct").blueprint
    factory = NumpyFactory()

    def run() -> Iterator[bytes | memoryview]:
        header = factory.make_series_header(case.parent, blueprint) if with_header else case.ready.header
        series = factory.build(header, case.image)
        return (series.buffer(index) for index in range(len(series)))

    return run


def plain(dataset: Dataset) -> list[Plain]:
    """The elements as a program would hold them before it makes a Dataset."""
    return [
        (element.keyword, [plain(item) for item in element.value] if element.VR == "SQ" else element.value)
        for element in dataset
        if element.keyword != "PixelData"
    ]


def dataset_of(elements: list[Plain]) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements:
        is_sequence = keyword.endswith("Sequence")
        setattr(dataset, keyword, [dataset_of(item) for item in value] if is_sequence else value)
    return dataset


def loop(case: Case) -> Callable[[], Iterator[bytes]]:
    """A new Dataset a slice, its elements set one by one, written by pydicom: the bytes are those of ``ours``."""
    elements = [plain(case.ready.dataset(index)) for index in range(len(case.ready))]
    pixels = case.ready.env.pixels

    def run() -> Iterator[bytes]:
        for index, of_instance in enumerate(elements):
            dataset = dataset_of(of_instance)
            scaled = case.image[index].astype(np.float64)
            scaled *= 1 / pixels.slope
            dataset.add_new("PixelData", "OW", np.rint(scaled, out=scaled).astype(pixels.dtype).tobytes())
            dataset.file_meta = meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = dataset.SOPClassUID
            meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
            meta.ImplementationClassUID = case.ready.file_meta(index).ImplementationClassUID
            buffer = io.BytesIO()
            dataset.save_as(buffer, enforce_file_format=True)
            yield buffer.getvalue()

    return run


def floor(case: Case, kind: type[np.floating[Any]]) -> Callable[[], Iterator[bytearray]]:
    """One encoded header; instance UID, number and position are patched in; pixels are scaled into the buffer.

    It knows the slope, leaves out what else differs by slice, and gives up the same buffer every time.
    """
    pixels = case.ready.env.pixels
    uids = [b"2.25.%039d" % (10**38 + index) for index in range(len(case.ready))]
    positions = ["\\".join(map(str, d.ImagePositionPatient)).ljust(50).encode() for d in case.parent.instances]
    buffer, places = _template(case, uids[0])
    frame = np.frombuffer(buffer, pixels.dtype)[-ROWS * COLUMNS :].reshape(ROWS, COLUMNS)
    work, inverse = np.empty((ROWS, COLUMNS), kind), kind(1 / pixels.slope)

    def run() -> Iterator[bytearray]:
        for index, uid in enumerate(uids):
            buffer[places[0] : places[0] + 44] = buffer[places[1] : places[1] + 44] = uid
            buffer[places[2] : places[2] + 6] = b"%-6d" % (index + 1)
            buffer[places[3] : places[3] + 50] = positions[index]
            np.copyto(work, case.image[index])
            np.multiply(work, inverse, out=work)
            np.rint(work, out=work)
            np.copyto(frame, work, casting="unsafe")
            yield buffer

    return run


def _template(case: Case, uid: bytes) -> tuple[bytearray, list[int]]:
    """An encoded instance with room for any value, and where both UIDs, the number and the position are in it."""
    dataset = case.ready.dataset(0)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid.decode())
    dataset.InstanceNumber, dataset.ImagePositionPatient = 999999, ["-100.00000000001"] * 3
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    data = buffer.getvalue()
    first = data.index(uid)
    offsets = [first, data.index(uid, first + 1), data.index(b"999999"), data.index(b"-100.00000000001")]
    return bytearray(data), offsets


def secondary_captures(case: Case) -> Callable[[], Iterator[bytes]]:
    """highdicom's single-frame Secondary Capture: a few elements of CT's and no geometry; unsigned pixels alone."""
    low = float(case.image.min())
    inverse = 65535 / (float(case.image.max()) - low)

    def run() -> Iterator[bytes]:
        for index in range(len(case.image)):
            scaled = (case.image[index].astype(np.float64) - low) * inverse
            made_by = highdicom.sc.SCImage.from_ref_dataset(
                case.parent.pivot, np.rint(scaled, out=scaled).astype(np.uint16), "MONOCHROME2", 16, "PATIENT",
                series_instance_uid="2.25.1", series_number=1001, sop_instance_uid=case.ready.instance_uid(index),
                instance_number=index + 1, manufacturer="Bench", patient_orientation=("L", "P"),
                transfer_syntax_uid="1.2.840.10008.1.2.1",
            )  # fmt: skip
            yield _written(made_by)

    return run


def parametric_map(case: Case) -> Callable[[], Iterator[bytes]]:
    """highdicom's Parametric Map: the whole volume as one multi-frame instance of float pixels, not quantised."""
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="HU", lut_explanation="Hounsfield units", unit=codes.UCUM.HounsfieldUnit,
        value_range=(-1024.0, 4096.0), slope=1, intercept=0,
    )  # fmt: skip

    def run() -> Iterator[bytes]:
        yield _written(
            highdicom.pm.ParametricMap(
                case.parent.instances,
                case.image,
                "2.25.1",
                1001,
                "2.25.2",
                1,
                "Bench",
                "Bench",
                "1",
                "1",
                False,
                [mapping],
                window_center=40,
                window_width=400,
            )
        )

    return run


def _written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def check(case: Case) -> None:
    """That the ways that are compared give the same: the loop all bytes, the floor all pixels."""
    shown = sorted({0, len(case.ready) // 2, len(case.ready) - 1})
    patched = {index: bytes(data) for index, data in enumerate(floor(case, np.float64)()) if index in shown}
    looped = dict(enumerate(loop(case)()))
    for index in shown:
        wanted = case.ready.encode(index)
        if looped[index] != wanted:
            raise AssertionError(f"the loop's slice {index} is not that of derived_series, byte for byte")
        size = ROWS * COLUMNS * 2
        if patched[index][-size:] != wanted[-size:]:
            raise AssertionError(f"the floor's pixels of slice {index} are not those of derived_series")


def measure(slices: int, repeats: int) -> tuple[Table, list[Target]]:
    case = Case.of(slices)
    check(case)
    seconds = interleaved(_calls(case), repeats)
    rows = []
    for name, times in seconds.items():
        rows.append(
            (
                name,
                spread(times, 1e-3 * slices, 3),
                f"{slices / statistics.median(times):,.0f}",
                f"{ratio(seconds, name, _OURS):.2f}x",
                f"{ratio(seconds, name, _FLOOR):.2f}x",
            )
        )
    table = Table(
        f"1. Build: float32 volume of {slices} x {ROWS} x {COLUMNS} to encoded CT instances",
        ("way", "ms a slice, median (least-most)", "slices/s", "time to ours", "time to the floor"),
        tuple(rows),
        (
            f"`{_OURS}` is `NumpyFactory.build` and `buffer(i)` of every slice; with the header, "
            "`make_series_header` of the parent too. The loop makes the very same bytes (checked): a new pydicom "
            "Dataset a slice, all elements set one by one from ready values, the same quantisation, written to memory.",
            "The floor patches instance UID, number and position into one encoded header and scales the pixels into "
            "it with a known slope; its pixels are ours (checked). In float32 it is quicker, and a value near the "
            "middle between two steps may get the farther one: more than half a step off, which ours never is.",
            "highdicom has no classic CT image. Its SCImage is a Secondary Capture (unsigned, no position, no rescale, "
            "no references to the parent); its ParametricMap is one multi-frame object of float32 that "
            "copies the pixels as they are.",
        ),
    )
    targets = [
        Target("(1) build: the pydicom loop's time to ours", 8, ratio(seconds, _LOOP, _OURS), at_least=True),
        Target("(1) build: our time to the floor's", 2.5, ratio(seconds, _OURS, _FLOOR)),
    ]
    return table, targets


def _calls(case: Case) -> dict[str, Callable[[], object]]:
    ways: dict[str, Callable[[], Iterator[object]]] = {
        _OURS: ours(case),
        "derived_series with the header": ours(case, with_header=True),
        _LOOP: loop(case),
        _FLOOR: floor(case, np.float64),
        _FLOOR32: floor(case, np.float32),
        _SC: secondary_captures(case),
        _MAP: parametric_map(case),
    }
    return {name: partial(_consume, way) for name, way in ways.items()}


def _consume(way: Callable[[], Iterator[object]]) -> int:
    """Take every instance and drop it."""
    return sum(1 for _ in way())
