"""Derives series from parents by a pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.objects.structures import Labels
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import DerivedSeriesError, InvalidRequest
from derived_series.kinds import sop_class
from derived_series.pipelines.blueprint_run import run_blueprint
from derived_series.pipelines.checked_parameters import checked_parameters
from derived_series.pipelines.input_container import InputContainer
from derived_series.pipelines.input_data import data_of_inputs
from derived_series.pipelines.input_series import InputSeries, require_same_patient, series_of_inputs
from derived_series.pipelines.library import Library
from derived_series.pipelines.output import Value
from derived_series.pipelines.output_blueprints import output_blueprints
from derived_series.pipelines.output_series import require_segments_of, series_of_output
from derived_series.pipelines.pipeline import Pipeline
from derived_series.pipelines.planned_output import PlannedOutput, planned_outputs
from derived_series.pipelines.preparing import instance_of
from derived_series.pipelines.process_result import by_output
from derived_series.pipelines.requested_elements import extra_blueprint
from derived_series.pipelines.run_options import Options
from derived_series.pipelines.user_calls import call_user_code
from derived_series.pipelines.workplace import Workplace, temporary_files_in

__all__ = ["Options", "Results", "extra_blueprint", "run_blueprint", "run_outputs", "run_pipeline"]


@dataclass(frozen=True, slots=True)
class Results:
    """The result of one run of a pipeline.

    :param series: by output name, in the order of the pipeline's outputs; ready to be written out.
    :param values: the numbers of the run.
    """

    series: Mapping[str, Series]
    values: Mapping[str, Value]


def run_pipeline(
    library: Library,
    name: str,
    parents: Mapping[str, ParentSeries],
    parameters: Mapping[str, Any],
    options: Options,
    context: BuildContext,
) -> Series:
    """Run a pipeline with a single output; see ``run_outputs``."""
    series = run_outputs(library, name, parents, parameters, options, context).series
    if len(series) > 1:
        raise InvalidRequest(
            f"pipeline {name!r} makes several series ({', '.join(series)})",
            remedy="use run_outputs, which gives them all",
        )
    return next(iter(series.values()))


def run_outputs(
    library: Library,
    name: str,
    parents: Mapping[str, ParentSeries],
    parameters: Mapping[str, Any],
    options: Options,
    context: BuildContext,
    workplace: Workplace | None = None,
) -> Results:
    """Run a pipeline on its parents.

    :param parents: by input name; with a single input the name does not matter.
    :raises InvalidRequest: the pipeline does not have these inputs or parameters.
    :raises UserCodeError: the pipeline's code raised an exception.
    """
    pipeline: Pipeline = call_user_code(
        f"the constructor or prepare of pipeline {name!r}", instance_of, library.pipeline(name).pipeline
    )
    series = series_of_inputs(pipeline, parents)
    require_same_patient(series, priors=[key for key in series if pipeline.input[key].prior])
    settings = checked_parameters(type(pipeline), parameters)
    inputs = InputSeries.of(pipeline, series)
    blueprints = output_blueprints(library, name, pipeline, inputs, settings)
    outputs = planned_outputs(name, pipeline, blueprints, inputs, options, context)
    headers = {key: inputs.header_on_copies(each.header) for key, each in outputs.items() if each.header is not None}
    place = workplace or Workplace()
    with nullcontext() if place.folder is None else temporary_files_in(place.folder):
        data = data_of_inputs(name, pipeline, inputs)
        container = InputContainer(data, headers, inputs.copies, settings, place)
        result = call_user_code(f"process of pipeline {name!r}", pipeline.process, container)
        images, values = by_output(name, pipeline, result)
        warnings = (*_parent_warnings(pipeline, inputs), *_label_warnings(data))
        by_name = _series(outputs, images, inputs, options, warnings)
    return Results({key: by_name[key] for key in outputs if key in by_name}, values)


def _series(
    outputs: Mapping[str, PlannedOutput],
    images: Mapping[str, Any],
    inputs: InputSeries,
    options: Options,
    warnings: Sequence[str],
) -> dict[str, Series]:
    """The series from the result of ``process``, by output name; reports are made last, as they refer to the others."""
    absent = [output for name, output in outputs.items() if name not in images]
    segmentations = {
        str(series.pivot.SOPInstanceUID): series.pivot
        for series in inputs.series.values()
        if "SegmentSequence" in series.pivot
    }
    by_name: dict[str, Series] = {}
    for name in sorted(images, key=lambda name: outputs[name].is_report):
        output = outputs[name]
        if output.is_report and output.header is not None:
            require_segments_of(output, images[name], absent)
            env = replace(output.header.env, segmentations=segmentations)
            output = replace(output, header=replace(output.header, env=env))
        try:
            finished = series_of_output(output, images[name], inputs, options).with_identity(inputs.parent)
            series = options.ready(finished.with_warnings(*warnings), inputs.parent)
        except DerivedSeriesError as error:
            if output.is_one_of_several and repr(name) not in error.message:
                error.message = f"output {name!r}: {error.message}"
            raise
        if sop_class(series.sop_class_uid).labels and "SegmentSequence" in (first := series.dataset(0)):
            segmentations[str(first.SOPInstanceUID)] = first
        by_name[name] = series
    return by_name


def _parent_warnings(pipeline: Pipeline, inputs: InputSeries) -> Iterator[str]:
    """The warning that the first of several inputs is used as the parent."""
    if len(inputs.series) > 1 and pipeline.parent_input is None:
        yield (
            f"{type(pipeline).__name__} has {len(pipeline.input)} inputs and no parent_input: the first one, "
            f"{inputs.parent_name!r}, is the parent"
        )


def _label_warnings(data: Mapping[str, Any]) -> Iterator[str]:
    """The warnings of the inputs that are labels."""
    return (warning for each in data.values() if isinstance(each, Labels) for warning in each.warnings)
