"""Comparing series in Orthanc that were made again with the former ones, in a worker."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from derived_series.dicom.source.instances import read_file
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicomweb.client import Client, Connection
from derived_series.dicomweb.readback import describe_series
from derived_series.dicomweb.wado import fetch_series
from derived_series.errors import DerivedSeriesError, NotFound, StorageError
from derived_series.review.comparison import compare_images, compare_segmentations
from derived_series.review.segments import is_segmentation

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def compare_each(connection: Connection, pairs: Sequence[tuple[str, str, str]], scratch: str) -> dict[str, Any]:
    """Compare pairs of series: the figures by output, or a ``Problem``.

    :param pairs: output, and the Orthanc identifiers of the former and the new series.
    :param scratch: a folder for temporary files, if it exists.
    :raises StorageError: Orthanc does not answer.
    """
    with Client(connection) as client:
        return {output: _compare(client, former, new, scratch) for output, former, new in pairs}


def _compare(client: Client, former: str, new: str, scratch: str) -> dict[str, Any]:
    is_there = Path(scratch).is_dir()
    with tempfile.TemporaryDirectory(prefix="compare-", dir=scratch if is_there else None) as folder:
        try:
            files = _files(client, former, Path(folder) / "former"), _files(client, new, Path(folder) / "new")
            return _figures(*files)
        except NotFound:
            return _nothing("one of them is not in Orthanc any more")
        except StorageError:
            raise
        except DerivedSeriesError as error:  # its message may quote what the series holds of a patient
            return _nothing(f"they cannot be read ({type(error).__name__})")


def _files(client: Client, series: str, folder: Path) -> list[Path]:
    folder.mkdir()
    on_server = describe_series(client, series)
    parts = fetch_series(
        client, on_server.study_instance_uid, on_server.series_instance_uid, expected=on_server.instances
    )
    files = []
    for index, part in enumerate(parts):
        files.append(folder / f"{index:06d}.dcm")
        files[-1].write_bytes(part)
    return files


def _figures(former: Sequence[Path], new: Sequence[Path]) -> dict[str, Any]:
    one, other = read_file(former[0]), read_file(new[0])
    if is_segmentation(one) and is_segmentation(other):
        if max(len(former), len(new)) > 1:
            return _nothing("a segmentation of several instances is not compared")
        return compare_segmentations(one, other)
    if one.SOPClassUID != other.SOPClassUID:
        return _nothing("they are objects of different classes")
    if "Rows" not in one or not any(keyword in one for keyword in _PIXELS):
        return _nothing("objects of this class are not compared")
    return compare_images(ParentSeries.from_files(former), ParentSeries.from_files(new))


def _nothing(problem: str) -> dict[str, Any]:
    return {"Kind": "Nothing", "Problem": problem}
