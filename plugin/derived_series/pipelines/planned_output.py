"""Prepares the outputs of a run before ``process`` is called: the factory and header of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.factories.base import DicomFactory
from derived_series.dicom.factories.kinds import FACTORIES, ObjectFactory
from derived_series.dicom.series.header import SeriesHeader
from derived_series.errors import BlueprintError
from derived_series.pipelines.blueprint_kinds import REPORT, kind_made_by, require_keys_of_kind
from derived_series.pipelines.input_series import InputSeries
from derived_series.pipelines.output import Output
from derived_series.pipelines.output_blueprints import with_requested
from derived_series.pipelines.pipeline import Pipeline
from derived_series.pipelines.run_options import Options


@dataclass(frozen=True, slots=True)
class PlannedOutput:
    """An output of a run that is not made yet.

    :param pipeline: the pipeline's name in the library.
    :param is_one_of_several: the pipeline has other outputs.
    :param context: has UIDs of its own, which are known in advance.
    :param header: None without a blueprint, if ``process`` returns finished datasets.
    :param is_report: its blueprint makes a measurement report, which refers to other outputs.
    """

    pipeline: str
    name: str
    is_one_of_several: bool
    factory: DicomFactory
    context: BuildContext
    header: SeriesHeader | None
    is_report: bool

    def __str__(self) -> str:
        pipeline = f"pipeline {self.pipeline!r}"
        return f"output {self.name!r} of {pipeline}" if self.is_one_of_several else pipeline


def planned_outputs(
    name: str,
    pipeline: Pipeline,
    blueprints: Mapping[str, Blueprint | None],
    inputs: InputSeries,
    options: Options,
    context: BuildContext,
) -> dict[str, PlannedOutput]:
    """The outputs of a pipeline by name, each with its header.

    :param name: the pipeline's, in the library. :param blueprints: by output, without the request's elements.
    :raises BlueprintError: an output with ``values`` makes another kind of object than a report.
    :raises InvalidRequest: a key of the request is for another kind of object.
    """
    reports = {key for key, blueprint in blueprints.items() if kind_made_by(blueprint) == REPORT}
    common = replace(context, algorithm=pipeline.algorithm, tracked=bool(reports), maker=context.maker or name).seeded()
    whole = with_requested(blueprints, options.extra)
    outputs = pipeline.all_outputs()
    planned = {}
    for number, (key, declared) in enumerate(outputs.items()):
        output = _with_factory_of_kind(declared, blueprints[key])
        if output.values and key not in reports:
            raise BlueprintError(
                f"output {key!r} of pipeline {name!r} is to hold values, but its blueprint makes no measurement report",
                remedy='write Output("measurement_report", values=True)',
            )
        several = len(outputs) > 1
        placed = replace(common, output=number, output_name=key) if several else common
        header = None
        if (blueprint := whole[key]) is not None:
            strategy = options.strategy or output.filling_strategy or pipeline.filling_strategy
            header = output.factory.make_series_header(inputs.parent, blueprint, strategy, placed)
            require_keys_of_kind(header, options.extra)
            header = replace(header, env=replace(header.env, inputs=inputs.series))
        planned[key] = PlannedOutput(name, key, several, output.factory, placed, header, key in reports)
    return planned


def _with_factory_of_kind(output: Output, blueprint: Blueprint | None) -> Output:
    """The output with its kind's factory, if that takes no image and the pipeline names no factory."""
    kind = kind_made_by(blueprint)
    if kind is None or kind.made_from != "File" or type(output.factory) is not ObjectFactory:
        return output
    return replace(output, factory=FACTORIES[kind.factory]())
