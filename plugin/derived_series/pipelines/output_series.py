"""Makes the series of an output from what ``process`` returned for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from derived_series.dicom.modules import Measurement
from derived_series.dicom.series.finished import from_user_datasets
from derived_series.dicom.series.interface import Series
from derived_series.errors import Advice, Choice, InvalidRequest, UserCodeError
from derived_series.pipelines.input_series import InputSeries
from derived_series.pipelines.planned_output import PlannedOutput
from derived_series.pipelines.run_options import Options
from derived_series.pipelines.user_calls import call_user_code
from derived_series.pipelines.user_factories import builds_itself, method_of, require_series, series_built_by


def series_of_output(output: PlannedOutput, result: Any, inputs: InputSeries, options: Options) -> Series:
    """The series of an output, from an image, a file, datasets, or a finished series.

    :raises InvalidRequest: the request would move a series that the pipeline builds itself.
    :raises UserCodeError: ``process`` returned nothing, or nothing that can become a series.
    """
    own_build = builds_itself(output.factory)
    if not own_build and isinstance(result, Iterator):  # such as a generator, which runs only now
        result = call_user_code(f"process of {output}", list, result)
    if not own_build and isinstance(result, Dataset):
        result = [result]
    is_finished = own_build or isinstance(result, Series | list | tuple)
    if is_finished and output.is_one_of_several:  # the other outputs still answer the request
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
        return from_user_datasets(result, inputs.parent, output.context, inputs=inputs.series.values())
    if result is None or output.header is None:
        what = "nothing" if result is None else "an image, but the pipeline names no header_blueprint"
        if output.is_one_of_several:
            what = "an image, but the output names no blueprint"
        raise UserCodeError(
            f"process of {output} returned {what}",
            remedy="return the image, and write blueprint_for (or set header_blueprint, or the Output's blueprint); or "
            "return a list of finished datasets",
        )
    if own_build:
        header = inputs.header_on_copies(output.header)
        return series_built_by(output.factory, header, result, inputs.parent, output.context)
    if isinstance(result, Path):
        result = call_user_code(method_of(output.factory, "read"), output.factory.read, result)
    series = options.build(output.factory, output.header, result, options.nan)
    require_series(series, output.factory)
    return series


def require_segments_of(output: PlannedOutput, content: Any, absent: Collection[PlannedOutput]) -> None:
    """Refuse a report on segments of outputs that are not made.

    :param content: what ``process`` returned for the report; :param absent: the outputs that it left out.
    :raises UserCodeError: the report refers to one of them; the message names it.
    """
    uids = {each.header.series_instance_uid: each.name for each in absent if each.header is not None}
    for each in content if isinstance(content, list | tuple) else ():
        segment = each.segment if isinstance(each, Measurement) else None
        if segment is not None and segment.series in uids:
            raise UserCodeError(
                f"the report of pipeline {output.pipeline!r} refers to a segment of the output "
                f"{uids[segment.series]!r}, which process left out",
                remedy="return that output as well, or the measurement without its segment",
            )
