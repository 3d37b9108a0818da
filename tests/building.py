"""Short ways to build a derived series in a test, and to read back the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series import (
    Blueprint,
    BuildContext,
    DicomFactory,
    FillingStrategy,
    NumpyFactory,
    ParentSeries,
)
from derived_series.dicom.series.interface import Series
from derived_series.pipelines import Library
from phantoms import ct_phantom, decoded, encode

REPOSITORY = Path(__file__).resolve().parent.parent
LIBRARY = Library.load([REPOSITORY / "blueprints"])
READY = {"CT": "ct", "MR": "mr", "PT": "pet"}


def ready(name: str) -> Blueprint:
    """A named blueprint of the repository's folder."""
    return LIBRARY.blueprint(name).blueprint


def parent_of(datasets: Iterable[Dataset]) -> ParentSeries:
    """A parent series as from a server: from the bytes of its files."""
    return ParentSeries.from_bytes(encode(dataset) for dataset in datasets)


class Parents(Mapping[str, ParentSeries]):
    """Parent series by name, each made when it is needed, as every process of a test run imports every test file."""

    def __init__(self, makers: Mapping[str, Callable[[], ParentSeries]]):
        self.makers = makers
        self._series: dict[str, ParentSeries] = {}

    def __getitem__(self, name: str) -> ParentSeries:
        if name not in self._series:
            self._series[name] = self.makers[name]()
        return self._series[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)


def turned_parents(slices: int, rows: int, columns: int, names: Iterable[str]) -> Parents:
    """CT parents of this size, one in each of these orientations of phantoms."""
    return Parents(
        {name: lambda name=name: parent_of(ct_phantom(slices, rows, columns, orientation=name)) for name in names}  # type: ignore[misc]
    )


def build(
    parent: ParentSeries | Iterable[Dataset],
    image: Any = None,
    extra: Blueprint | None = None,
    *,
    blueprint: str | Blueprint | None = None,
    strategy: FillingStrategy = FillingStrategy.DISCARD,
    factory: DicomFactory | None = None,
    context: BuildContext | None = None,
    nan: float | None = None,
) -> Series:
    """A derived series; by default the ready blueprint of the parent's modality and the parent's own values."""
    if not isinstance(parent, ParentSeries):
        parent = parent_of(parent)
    chosen = ready(READY[parent.modality]) if blueprint is None else blueprint
    whole = ready(chosen) if isinstance(chosen, str) else chosen
    maker = factory or NumpyFactory()
    header = maker.make_series_header(parent, whole + (extra or Blueprint()), strategy, context)
    return maker.build(header, parent.voxels() if image is None else image, nan=nan)


def written(series: Series) -> list[Dataset]:
    """The series as another program reads its files."""
    return [decoded(series.encode(index)) for index in range(len(series))]


def stored(dataset: Dataset) -> npt.NDArray[Any]:
    """The stored values, (row, column), from the bytes and the pixel module alone."""
    kind = "i" if dataset.PixelRepresentation else "u"
    dtype = np.dtype(f"<{kind}{dataset.BitsAllocated // 8}")
    size = dataset.Rows * dataset.Columns * dtype.itemsize
    assert len(dataset.PixelData) == size + size % 2
    return np.frombuffer(dataset.PixelData[:size], dtype).reshape(dataset.Rows, dataset.Columns)


def real(dataset: Dataset) -> npt.NDArray[np.float64]:
    """The real values, (row, column), in float64, by the rescale texts in the file."""
    slope, intercept = (float(str(dataset.get(k, d))) for k, d in (("RescaleSlope", "1"), ("RescaleIntercept", "0")))
    return stored(dataset).astype(np.float64) * slope + intercept


def volume(series: Series) -> npt.NDArray[np.float64]:
    """The real values of all instances, (slice, row, column)."""
    return np.stack([real(dataset) for dataset in written(series)])


def positions(datasets: Iterable[Dataset]) -> list[list[float]]:
    """ImagePositionPatient of each instance."""
    return [[float(value) for value in dataset.ImagePositionPatient] for dataset in datasets]
