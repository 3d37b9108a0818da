"""An output of a run: from what ``process`` returned for it to its series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.factories.base import DicomFactory
from derived_series.dicom.modules import Measurement
from derived_series.dicom.series.finished import from_user_datasets
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import Advice, Choice, InvalidRequest, UserCodeError
from derived_series.pipelines.run_options import Options
from derived_series.pipelines.user_calls import call_user_code
from derived_series.pipelines.user_factories import builds_itself, method_of, require_series, series_built_by


@dataclass(frozen=True, slots=True)
class RunOutput:
    """An output of a run.

    :param key: its name, where the pipeline has several; :param theirs: the header that user code gets.
    """

    pipeline: str
    key: str | None
    factory: DicomFactory
    header: SeriesHeader | None
    theirs: SeriesHeader | None

    def __str__(self) -> str:
        return (
            f"pipeline {self.pipeline!r}" if self.key is None else f"output {self.key!r} of pipeline {self.pipeline!r}"
        )


def finish(
    output: RunOutput,
    result: Any,
    parent: ParentSeries,
    context: BuildContext,
    options: Options,
) -> Series:
    """What ``process`` returned for an output, as a series."""
    own_build = builds_itself(output.factory)
    if not own_build and isinstance(result, Iterator):  # such as a generator, which runs only now
        result = call_user_code(f"process of {output}", list, result)
    if not own_build and isinstance(result, Dataset):
        result = [result]
    is_finished = own_build or isinstance(result, Series | list | tuple)
    if is_finished and output.key is not None:  # the others are still what the request is about
        options = replace(options, resampling=None, frame_of_reference="Parent")
    if options.resampling is not None and is_finished:
        raise InvalidRequest(
            f"{output} builds its series itself: it cannot be resampled to the parent's grid",
            remedy="leave it on its own grid, or let process return its image and grid (PlacedImage)",
            advice=Advice(Choice.OWN_GRID),
        )
    if options.frame_of_reference == "New" and is_finished:
        raise InvalidRequest(
            f"{output} builds its series itself, its frame of reference too",
            remedy="leave that to the pipeline",
            advice=Advice(Choice.PARENT_FRAME),
        )
    if isinstance(result, Series):
        return result
    if isinstance(result, Sequence) and result and all(isinstance(item, Dataset) for item in result):
        return from_user_datasets(result, parent, context)
    if result is None or output.header is None:
        what = "nothing" if result is None else "an image, but the pipeline names no header_blueprint"
        if output.key is not None:
            what = "an image, but the output names no blueprint"
        raise UserCodeError(
            f"process of {output} returned {what}",
            remedy="return the image, and write blueprint_for (or set header_blueprint, or the Output's blueprint); or "
            "return a list of finished datasets",
        )
    if own_build:
        return series_built_by(output.factory, output.theirs or output.header, result, parent, context)
    if isinstance(result, Path):
        result = call_user_code(method_of(output.factory, "read"), output.factory.read, result)
    series = options.build(output.factory, output.header, result, options.nan)
    require_series(series, output.factory)
    return series


def require_made(name: str, content: Any, lacking: Mapping[str, SeriesHeader]) -> None:
    """:raises UserCodeError: a report on a segmentation that ``process`` left out."""
    uids = {header.series_instance_uid: key for key, header in lacking.items()}
    for each in content if isinstance(content, list | tuple) else ():
        segment = each.segment if isinstance(each, Measurement) else None
        if segment is not None and segment.series in uids:
            raise UserCodeError(
                f"the report of pipeline {name!r} refers to a segment of the output {uids[segment.series]!r}, which "
                "process left out",
                remedy="return that output as well, or the measurement without its segment",
            )
