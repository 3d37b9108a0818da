"""One derivation: parents in, a series that is ready to be written out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.objects.structures import Labels
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import BlueprintError, DerivedSeriesError, InvalidParent, InvalidRequest
from derived_series.kinds import sop_class
from derived_series.pipelines.blueprint_kinds import REPORT, fits, kind_made_by, with_factory
from derived_series.pipelines.blueprint_run import run_blueprint
from derived_series.pipelines.checked_parameters import checked_parameters
from derived_series.pipelines.container import InputContainer
from derived_series.pipelines.input_series import same_patient, series_of_inputs
from derived_series.pipelines.library import Library
from derived_series.pipelines.output import Output, Value
from derived_series.pipelines.output_blueprints import output_blueprint, with_request
from derived_series.pipelines.output_series import RunOutput, finish, require_made
from derived_series.pipelines.pipeline import Pipeline
from derived_series.pipelines.preparing import instance_of
from derived_series.pipelines.process_result import by_output
from derived_series.pipelines.requested_elements import extra_blueprint
from derived_series.pipelines.run_options import Options
from derived_series.pipelines.user_calls import call_user_code
from derived_series.pipelines.workplace import Workplace, temporary_files_in

__all__ = ["Options", "Results", "extra_blueprint", "run_blueprint", "run_outputs", "run_pipeline"]


@dataclass(frozen=True, slots=True)
class Results:
    """What one run of a pipeline made.

    :param series: by output name, in the order of the pipeline's outputs; ready to be written out.
    :param values: the numbers beside them.
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
    """The series of a pipeline that makes one; see ``run_outputs``."""
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
    :raises InvalidRequest: inputs or parameters that the pipeline does not have.
    :raises UserCodeError: an exception in the pipeline's code.
    """
    chosen = library.pipeline(name).pipeline
    pipeline: Pipeline = call_user_code(f"the constructor or prepare of pipeline {name!r}", instance_of, chosen)
    whole = series_of_inputs(pipeline, parents)
    same_patient(whole, [key for key in whole if pipeline.input[key].prior])
    settings = checked_parameters(type(pipeline), parameters)
    parent = whole[pipeline.parent_name()]
    inputs = {key: series.detached() for key, series in whole.items()}  # user code may do with them what it likes
    theirs = inputs[pipeline.parent_name()]
    outputs = dict(pipeline.all_outputs())
    blueprints = {
        key: output_blueprint(name, pipeline, key, output, theirs, settings, library, inputs)
        for key, output in outputs.items()
    }
    outputs = {key: with_factory(output, blueprints[key]) for key, output in outputs.items()}
    reports = [key for key, blueprint in blueprints.items() if kind_made_by(blueprint) == REPORT]
    tracked = bool(reports)
    context = replace(context, algorithm=pipeline.algorithm, tracked=tracked, maker=context.maker or name)
    contexts = _contexts(outputs, context)
    headers: dict[str, SeriesHeader] = {}
    extras = with_request(blueprints, options.extra)
    for key, output in outputs.items():
        blueprint = extras[key]
        if output.values and key not in reports:
            raise BlueprintError(
                f"output {key!r} of pipeline {name!r} is to hold values, but its blueprint makes no measurement report",
                remedy='write Output("measurement_report", values=True)',
            )
        if blueprint is None:
            continue
        strategy = options.strategy or output.filling_strategy or pipeline.filling_strategy
        header = fits(output.factory.make_series_header(parent, blueprint, strategy, contexts[key]), options)
        headers[key] = replace(header, env=replace(header.env, inputs=whole))
    place = workplace or Workplace()
    with nullcontext() if place.folder is None else temporary_files_in(place.folder):
        data = {}
        for key, series in inputs.items():
            taken = call_user_code(
                f"the constructor of input {key!r} of pipeline {name!r}", pipeline.input[key], series
            )
            if key != pipeline.parent_name():
                taken = taken.on(theirs)
            if not call_user_code(f"validate of pipeline {name!r}", taken.validate):
                raise InvalidParent(
                    f"the input {key!r} of pipeline {name!r} does not take series {series.series_instance_uid}"
                )
            data[key] = call_user_code(f"image_grinder of pipeline {name!r}", taken.get_data)
        mine = {key: header.of(theirs, inputs) for key, header in headers.items()}
        container = InputContainer(data, mine, inputs, settings, place)
        result = call_user_code(f"process of pipeline {name!r}", pipeline.process, container)
        images, values = by_output(name, pipeline, result)
        label_warnings = [warning for each in data.values() if isinstance(each, Labels) for warning in each.warnings]
        by_name: dict[str, Series] = {}
        segmentations = {
            str(series.pivot.SOPInstanceUID): series.pivot for series in whole.values() if _labelled(series)
        }
        for key in sorted(images, key=reports.__contains__):  # reports last: they refer to the others
            written = headers.get(key)
            if written is not None and key in reports:
                require_made(name, images[key], {k: h for k, h in headers.items() if k not in images})
                written = replace(written, env=replace(written.env, segmentations=segmentations))
            user_header = None if written is None else written.of(theirs, inputs)
            what = RunOutput(name, key if len(outputs) > 1 else None, outputs[key].factory, written, user_header)
            try:
                finished = finish(what, images[key], parent, contexts[key], options).with_identity(parent)
                if len(whole) > 1 and pipeline.parent_input is None:
                    finished = finished.with_warnings(_assumed(pipeline))
                by_name[key] = options.ready(finished.with_warnings(*label_warnings), parent)
            except DerivedSeriesError as error:
                if what.key is not None and repr(key) not in error.message:
                    error.message = f"output {key!r}: {error.message}"
                raise
            if sop_class(by_name[key].sop_class_uid).labels and "SegmentSequence" in (first := by_name[key].dataset(0)):
                segmentations[str(first.SOPInstanceUID)] = first
    return Results({key: by_name[key] for key in outputs if key in by_name}, values)


def _labelled(series: ParentSeries) -> bool:
    return "SegmentSequence" in series.pivot


def _contexts(outputs: Mapping[str, Output], context: BuildContext) -> dict[str, BuildContext]:
    """That of each output: with UIDs of its own, which are settled before it is made."""
    if len(outputs) == 1:
        return dict.fromkeys(outputs, context.seeded())
    seeded = context.seeded()
    return {name: replace(seeded, output=place, output_name=name) for place, name in enumerate(outputs)}


def _assumed(pipeline: Pipeline) -> str:
    return (
        f"{type(pipeline).__name__} has {len(pipeline.input)} inputs and no parent_input: the first one, "
        f"{pipeline.parent_name()!r}, is the parent"
    )
