"""One derivation: parents in, a series that is ready to be written out."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydicom.dataset import Dataset

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.blueprints.element import StaticElement, VirtualElement
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.blueprints.space import FrameChoice
from derived_series.dicom.encoding.tags import TagLike, dictionary_vr, to_tag
from derived_series.dicom.factories.base import DicomFactory
from derived_series.dicom.factories.kinds import FACTORIES, ObjectFactory
from derived_series.dicom.image.resampling import Resampling
from derived_series.dicom.modules import Measurement, derivation
from derived_series.dicom.modules.described_segments import DescribedSegments
from derived_series.dicom.objects.structures import Labels
from derived_series.dicom.series.finished import from_user_datasets
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import (
    Advice,
    BlueprintError,
    Choice,
    Conflict,
    DerivedSeriesError,
    InvalidParent,
    InvalidRequest,
    UserCodeError,
)
from derived_series.kinds import KINDS, REQUEST_KEYS, kind_of, sop_class
from derived_series.kinds.kind import Kind, RequestKey
from derived_series.pipelines.container import InputContainer
from derived_series.pipelines.gate import STRICT, Validation, check_series
from derived_series.pipelines.library import Library
from derived_series.pipelines.output import RESULT, VALUES, Output, Value, values_of
from derived_series.pipelines.pipeline import Pipeline
from derived_series.pipelines.preparing import instance_of
from derived_series.pipelines.workplace import Workplace, temporary_files_in
from derived_series.transfer_syntaxes import DEFAULT
from derived_series.user_code import raised_message


@dataclass(frozen=True, slots=True)
class Options:
    """What a request adds to a pipeline or a blueprint.

    :param strategy: instead of the pipeline's; :param extra: elements that win over the blueprint's;
    :param nan: what NaN and Inf are replaced by;
    :param resampling: how an image of another grid is brought to the parent's; None leaves it where it is;
    :param transfer_syntax: keyword or UID of what the series is written in; None is what its class is written in,
        uncompressed but for label maps;
    :param validation: what happens to a series that breaks a rule of its IOD;
    :param frame_of_reference: ``"New"`` for an image in another space than the patient's, such as MNI's.
    """

    strategy: FillingStrategy | None = None
    extra: Blueprint = field(default_factory=Blueprint)
    nan: float | None = None
    resampling: Resampling | None = None
    transfer_syntax: str | None = None
    validation: Validation = STRICT
    frame_of_reference: FrameChoice = "Parent"

    def build(self, factory: DicomFactory, header: SeriesHeader, image: Any, nan: float | None) -> Series:
        """The series of a header and an image. A factory gets only what is asked for: it may be older."""
        asked = {
            "nan": nan,
            "resampling": self.resampling,
            "frame_of_reference": None if self.frame_of_reference == "Parent" else self.frame_of_reference,
        }
        build: Any = factory.build
        series: Series = build(header, image, **{key: value for key, value in asked.items() if value is not None})
        return series

    def ready(self, series: Series, parent: ParentSeries) -> Series:
        """The series, checked, and in the transfer syntax asked for. :raises ValidationFailed: see ``check_series``."""
        checked = check_series(series, parent, self.validation)
        syntax = self.transfer_syntax or sop_class(series.sop_class_uid).written_in or DEFAULT
        return checked if syntax == DEFAULT else checked.written_in(syntax)


#: The kind of object that a pipeline's values are written as.
REPORT = next(kind for kind in KINDS if kind.builder == "measurement_report")

#: The segments of a request: objects with the keys of ``Segments``, the name of a table, or ``{"Table": text}``.


def extra_blueprint(
    replace: Mapping[str, Any] | None = None,
    series_description: str | None = None,
    derived_by: str | None = None,
    described: DescribedSegments = (),
    units: str | None = None,
    pictured: Mapping[str, Any] | None = None,
    of_kinds: Mapping[str, Any] | None = None,
) -> Blueprint:
    """The blueprint of a request's ``Replace``, ``SeriesDescription``, ``Derivation``, and of the keys of kinds.

    :param replace: keyword or "gggg,eeee" -> value; None empties the tag; lists of objects are sequence items.
    :param derived_by: name or value of a code of CID 7203.
    :param described: the segments of a label map, as in the request's ``Segments``: a list of objects with its keys,
        the name of a table, or ``{"Table": text}``.
    :param units: what a parametric map's values are measured in, as UCUM has it.
    :param pictured: settings of ``picture(...)`` by name.
    :param of_kinds: the keys that only some kinds take (``Segments``, ``Units``, ``Picture``...), as in the request.
    :raises InvalidRequest: a tag that there is not, a value that its VR does not allow.
    """
    elements: list[VirtualElement] = []
    try:
        for name, value in (replace or {}).items():
            elements.append(_static(_request_tag(name), value))
        if series_description is not None:
            elements.append(StaticElement("SeriesDescription", "LO", series_description))
        extra = Blueprint(elements, name="request")
        if derived_by is not None:
            code = derivation("", derived_by)["DerivationCodeSequence"]
            extra = extra + Blueprint([code], name="request")
        asked = {"Segments": described or None, "Units": units, "Picture": pictured or None, **(of_kinds or {})}
        for key in REQUEST_KEYS:
            if (value := asked.get(key.name)) is not None:
                extra = extra + Blueprint(_elements(key, value), name="request")
        return extra
    except BlueprintError as error:
        raise InvalidRequest(f"the request's tags: {error.message}", remedy=error.remedy) from error


def _elements(key: RequestKey, value: Any) -> Blueprint:
    """The elements that a key of a request stands for, by the module that its kind names."""
    module = importlib.import_module(f"derived_series.dicom.modules.{key.module}")
    elements: Blueprint = module.elements_of_request(value)
    return elements


def _fits(header: SeriesHeader, options: Options) -> SeriesHeader:
    """:raises InvalidRequest: a key such as Segments for a kind of object that does not have it."""
    kind = kind_of(header.sop_class_uid, header.blueprint)
    for key in REQUEST_KEYS:
        asked = key.keyword in options.extra and key.keyword in header.blueprint
        if asked and (kind is None or key not in kind.keys):
            takes = ", ".join(each.blueprint for each in KINDS if key in each.keys)
            name = sop_class(header.sop_class_uid).name
            raise InvalidRequest(f'"{key.name}" is for the blueprint {takes}; the blueprint makes a {name}')
    return header


def _request_tag(name: str) -> TagLike:
    plain = name.strip("()").replace(",", "").replace(" ", "")
    if len(plain) == 8 and all(c in "0123456789abcdefABCDEF" for c in plain):
        return int(plain, 16)
    return name


def _static(tag: TagLike, value: Any) -> StaticElement:
    vr = dictionary_vr(to_tag(tag))
    if vr == "SQ":
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise BlueprintError(f"{tag!r} is a sequence: its value is a list of objects")
        return StaticElement(tag, "SQ", [_item(item) for item in value])
    return StaticElement(tag, vr, value)


def _item(values: Mapping[str, Any]) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        static = _static(_request_tag(name), value)
        item.add(static.data_element(static.value))
    return item


def same_patient(parents: Mapping[str, ParentSeries], priors: Collection[str] = ()) -> None:
    """:param priors: the names of those that may be of other studies of the patient.

    :raises Conflict: when the parents are of several patients or studies, naming them.
    """
    for keyword in ("PatientID", "IssuerOfPatientID", "StudyInstanceUID"):
        of_study = keyword == "StudyInstanceUID"
        asked = {name: parent for name, parent in parents.items() if not (of_study and name in priors)}
        values = {name: str(parent.pivot.get(keyword) or "") for name, parent in asked.items()}
        if len(set(values.values())) > 1:
            by_input = ", ".join(f"{name}: {value!r}" for name, value in values.items())
            raise Conflict(
                f"the inputs are of several {keyword}s ({by_input})",
                remedy="all parents of a derivation are of one patient and one study",
            )


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
    pipeline: Pipeline = _user(f"the constructor or prepare of pipeline {name!r}", instance_of, chosen)
    whole = _inputs(pipeline, parents)
    same_patient(whole, [key for key in whole if pipeline.input[key].prior])
    settings = checked_parameters(type(pipeline), parameters)
    parent = whole[pipeline.parent_name()]
    inputs = {key: series.detached() for key, series in whole.items()}  # user code may do with them what it likes
    theirs = inputs[pipeline.parent_name()]
    outputs = dict(pipeline.all_outputs())
    blueprints = {
        key: _blueprint(name, pipeline, key, output, theirs, settings, library, inputs)
        for key, output in outputs.items()
    }
    outputs = {key: _with_factory(output, blueprints[key]) for key, output in outputs.items()}
    reports = [key for key, blueprint in blueprints.items() if kind_made_by(blueprint) == REPORT]
    tracked = bool(reports)
    context = replace(context, algorithm=pipeline.algorithm, tracked=tracked, maker=context.maker or name)
    contexts = _contexts(outputs, context)
    headers: dict[str, SeriesHeader] = {}
    extras = _extras(blueprints, options.extra)
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
        header = _fits(output.factory.make_series_header(parent, blueprint, strategy, contexts[key]), options)
        headers[key] = replace(header, env=replace(header.env, inputs=whole))
    place = workplace or Workplace()
    with nullcontext() if place.folder is None else temporary_files_in(place.folder):
        data = {}
        for key, series in inputs.items():
            taken = _user(f"the constructor of input {key!r} of pipeline {name!r}", pipeline.input[key], series)
            if key != pipeline.parent_name():
                taken = taken.on(theirs)
            if not _user(f"validate of pipeline {name!r}", taken.validate):
                raise InvalidParent(
                    f"the input {key!r} of pipeline {name!r} does not take series {series.series_instance_uid}"
                )
            data[key] = _user(f"image_grinder of pipeline {name!r}", taken.get_data)
        mine = {key: header.of(theirs, inputs) for key, header in headers.items()}
        container = InputContainer(data, mine, inputs, settings, place)
        result = _user(f"process of pipeline {name!r}", pipeline.process, container)
        images, values = _by_output(name, pipeline, result)
        label_warnings = [warning for each in data.values() if isinstance(each, Labels) for warning in each.warnings]
        by_name: dict[str, Series] = {}
        segmentations = {
            str(series.pivot.SOPInstanceUID): series.pivot for series in whole.values() if _labelled(series)
        }
        for key in sorted(images, key=reports.__contains__):  # reports last: they refer to the others
            written = headers.get(key)
            if written is not None and key in reports:
                _require_made(name, images[key], {k: h for k, h in headers.items() if k not in images})
                written = replace(written, env=replace(written.env, segmentations=segmentations))
            user_header = None if written is None else written.of(theirs, inputs)
            what = _Output(name, key if len(outputs) > 1 else None, outputs[key].factory, written, user_header)
            try:
                finished = _finish(what, images[key], parent, contexts[key], options).with_identity(parent)
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


def kind_made_by(blueprint: Blueprint | None) -> Kind | None:
    """The kind of object that a blueprint makes; None where it does not say it at once."""
    element = blueprint["SOPClassUID"] if blueprint is not None and "SOPClassUID" in blueprint else None
    return kind_of(str(getattr(element, "value", "")), blueprint or ())


def _with_factory(output: Output, blueprint: Blueprint | None) -> Output:
    """With the factory of its kind, where that is made from what no image is, and the pipeline names no factory."""
    kind = kind_made_by(blueprint)
    if kind is None or kind.made_from != "File" or type(output.factory) is not ObjectFactory:
        return output
    return replace(output, factory=FACTORIES[kind.factory]())


def _require_made(name: str, content: Any, lacking: Mapping[str, SeriesHeader]) -> None:
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


def _contexts(outputs: Mapping[str, Output], context: BuildContext) -> dict[str, BuildContext]:
    """That of each output: with UIDs of its own, which are settled before it is made."""
    if len(outputs) == 1:
        return dict.fromkeys(outputs, context.seeded())
    seeded = context.seeded()
    return {name: replace(seeded, output=place, output_name=name) for place, name in enumerate(outputs)}


def _extras(blueprints: Mapping[str, Blueprint | None], extra: Blueprint) -> dict[str, Blueprint | None]:
    """The blueprints with the request's tags; what is of one kind of object goes to the outputs of this kind.

    A SeriesDescription of the request gets the output's name where there are several.
    """
    whole = {}
    for name, blueprint in blueprints.items():
        theirs = extra
        if blueprint is not None and len(blueprints) > 1:
            theirs = extra.copy()
            for key in REQUEST_KEYS:
                takers = [other for other in blueprints.values() if _takes(other, key)]
                if key.keyword in theirs and takers and not any(blueprint is taker for taker in takers):
                    del theirs[key.keyword]
            if "SeriesDescription" in theirs and (text := getattr(theirs["SeriesDescription"], "value", None)):
                theirs["SeriesDescription"] = StaticElement(
                    "SeriesDescription", "LO", f"{str(text)[: 61 - len(name)]} ({name})"
                )
        whole[name] = None if blueprint is None else blueprint + theirs
    return whole


def _takes(blueprint: Blueprint | None, key: RequestKey) -> bool:
    """Whether a blueprint makes a kind of object that a key of the request is for."""
    kind = kind_made_by(blueprint)
    return kind is not None and key in kind.keys


def _by_output(name: str, pipeline: Pipeline, result: Any) -> tuple[dict[str, Any], dict[str, Value]]:
    """What ``process`` returned, by output, and the numbers beside it.

    :raises UserCodeError: outputs that there are not, or that are missing.
    """
    outputs = pipeline.all_outputs()
    what = f"process of pipeline {name!r}"
    is_named = isinstance(result, Mapping) and not isinstance(result, Dataset)
    if is_named and not pipeline.outputs and not set(result) <= {RESULT, VALUES}:
        is_named = False  # whatever it is, it is what a factory of the user's takes
    if not is_named:
        if len(outputs) > 1:
            raise UserCodeError(
                f"{what} returned {_kind(result)}, but it has the outputs {', '.join(outputs)}",
                remedy="return a dict with what each output is made of",
            )
        return {next(iter(outputs)): result}, {}
    unknown = [str(key) for key in result if key not in outputs and key != VALUES]
    values = values_of(result.get(VALUES), what)
    images = {key: result[key] for key in outputs if result.get(key) is not None}
    for key in [key for key, output in outputs.items() if output.values]:
        report = [*_listed(images.pop(key, ()), what, key), *(v.measurement(k) for k, v in values.items())]
        images |= {key: report} if report else {}
    missing = [key for key, output in outputs.items() if key not in images and not output.optional]
    if unknown or missing:
        deviations = [f"without {', '.join(missing)}"] * bool(missing) + [f"with {', '.join(unknown)}"] * bool(unknown)
        raise UserCodeError(
            f"{what} returned a dict {' and '.join(deviations)}; its outputs are {', '.join(outputs)}",
            remedy="return all outputs by name, and numbers by 'values'; Output(..., optional=True) may be missing",
        )
    if not images:
        raise UserCodeError(f"{what} returned none of its outputs ({', '.join(outputs)})", remedy="return one at least")
    return images, values


def _listed(measurements: Any, what: str, key: str) -> list[Measurement]:
    """:raises UserCodeError: what is not a list of measurements."""
    if not isinstance(measurements, list | tuple) or not all(isinstance(each, Measurement) for each in measurements):
        raise UserCodeError(
            f"{what} returned {_kind(measurements)} for {key!r}, a report of values",
            remedy="return a list of Measurement, or leave it out",
        )
    return list(measurements)


def _kind(result: Any) -> str:
    return "nothing" if result is None else f"a {type(result).__name__}"


@dataclass(frozen=True, slots=True)
class _Output:
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


def _assumed(pipeline: Pipeline) -> str:
    return (
        f"{type(pipeline).__name__} has {len(pipeline.input)} inputs and no parent_input: the first one, "
        f"{pipeline.parent_name()!r}, is the parent"
    )


def run_blueprint(
    library: Library,
    blueprint: str,
    factory: str,
    parent: ParentSeries,
    image: Path | None,
    options: Options,
    context: BuildContext,
) -> Series:
    """Apply a named blueprint and factory to an image file.

    :param image: .npy, .nii or .nii.gz; None takes the parent's own real-world values.
    """
    named = library.blueprint(blueprint)
    kind = library.factory(factory)
    instance = _user(f"the constructor of {kind.__name__}", kind)
    if options.nan is not None:
        instance.nan = options.nan
    strategy = options.strategy or FillingStrategy.DISCARD
    whole = named.blueprint + options.extra
    context = replace(context, maker=context.maker or _maker(blueprint, factory))
    header = _user(_of(instance, "make_series_header"), instance.make_series_header, parent, whole, strategy, context)
    header = _fits(header, options)
    if image is None:
        result = _user(_of(instance, "own_image"), instance.own_image, parent)
    else:
        result = _user(_of(instance, "read"), instance.read, image)
    if builds_itself(instance):
        return options.ready(_built_by(instance, header.of(parent.detached()), result, parent, context), parent)
    chosen = options if image is not None else replace(options, resampling=None)
    series: Series = _user(_of(instance, "build"), chosen.build, instance, header, result, None)
    _require_series(series, instance)
    return options.ready(series.with_identity(parent), parent)


def _maker(blueprint: str, factory: str) -> str:
    """What tells a derivation from others: its blueprint, and a factory that is none of this package."""
    return blueprint if factory in FACTORIES else f"{blueprint}, {factory}"


def _require_series(result: object, factory: DicomFactory) -> None:
    """:raises UserCodeError: a ``build`` of the user's that returns something else."""
    if not isinstance(result, Series):
        raise UserCodeError(
            f"{_of(factory, 'build')} returned {_kind(result)}",
            remedy="return what super().build(...) returns, or define build_from_header, which returns datasets",
        )


def _of(factory: DicomFactory, what: str) -> str:
    return f"{what} of {type(factory).__name__}"


def builds_itself(factory: DicomFactory) -> bool:
    """Whether a factory makes its datasets by a ``build_from_header`` of its own."""
    return type(factory).build_from_header is not DicomFactory.build_from_header


def _built_by(
    factory: DicomFactory,
    header: SeriesHeader,
    image: Any,
    parent: ParentSeries,
    context: BuildContext,
) -> Series:
    """The datasets of a factory that builds them itself, as a series of the parent.

    :param header: over instances of its own, which user code may change.
    """
    what = _of(factory, "build_from_header")
    datasets = _user(what, factory.build_from_header, header, image)
    if isinstance(datasets, Iterator):
        datasets = _user(what, list, datasets)
    return from_user_datasets(datasets, parent, context, what)


def checked_parameters(pipeline: type[Pipeline], parameters: Mapping[str, Any]) -> BaseModel:
    """The parameters as the pipeline's model. :raises InvalidRequest: with each wrong name and value."""
    try:
        return pipeline.parameters.model_validate(dict(parameters))
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'Parameters'}: {e['msg']}" for e in error.errors()]
        names = ", ".join(pipeline.parameters.model_fields) or "none"
        raise InvalidRequest(
            f"parameters of pipeline {pipeline.pipeline_name()!r}: {'; '.join(problems)}",
            remedy=f"its parameters are: {names}",
            details="\n".join(problems),
        ) from error


def _inputs(pipeline: Pipeline, parents: Mapping[str, ParentSeries]) -> dict[str, ParentSeries]:
    names = list(pipeline.input)
    needed = {key for key, wanted in pipeline.input.items() if not wanted.optional}
    if len(names) == 1 and len(parents) == 1:
        by_name = {names[0]: next(iter(parents.values()))}
    else:
        by_name = {key: parents[key] for key in (*names, *parents) if key in parents}
    missing = [key for key in names if key in needed | {pipeline.parent_name()} and key not in by_name]
    if missing or not set(by_name) <= set(names):
        priors = [key for key in missing if pipeline.input[key].prior]
        searched = f"; no prior study here has a series that {' and '.join(map(repr, priors))} takes" if priors else ""
        raise InvalidRequest(
            f"pipeline {pipeline.pipeline_name()!r} has the inputs {', '.join(names)}; given are {', '.join(by_name)}"
            f"{searched}",
            remedy=f'name the other series: "Inputs": {{"{(missing or names)[-1]}": "<orthanc id of the series>"}}',
        )
    parent = by_name[pipeline.parent_name()].series_instance_uid
    for key, series in by_name.items():
        if pipeline.input[key].prior and series.series_instance_uid == parent and key != pipeline.parent_name():
            raise InvalidRequest(
                f"the prior input {key!r} of pipeline {pipeline.pipeline_name()!r} is the parent series itself",
                remedy="name a series of a prior study, or leave the input out",
            )
    for key, series in by_name.items():
        refusal = next(filter(None, map(pipeline.input[key].refusal, series.instances)), None)
        if refusal:
            raise InvalidParent(
                f"the input {key!r} of pipeline {pipeline.pipeline_name()!r} does not take "
                f"series {series.series_instance_uid}: {refusal}"
            )
    return by_name


def _blueprint(
    name: str,
    pipeline: Pipeline,
    key: str,
    output: Output,
    parent: ParentSeries,
    settings: BaseModel,
    library: Library,
    inputs: Mapping[str, ParentSeries],
) -> Blueprint | None:
    """The output's own, or what ``blueprint_for`` says; it gets what it has parameters of these names for."""
    if isinstance(output.blueprint, str):
        return library.blueprint(output.blueprint).blueprint
    if output.blueprint is not None:
        return output.blueprint
    function: Any = pipeline.blueprint_for
    asked = inspect.signature(function).parameters
    function = partial(function, **{k: v for k, v in {"inputs": inputs, "output": key}.items() if k in asked})
    blueprint: Blueprint | None = _user(
        f"blueprint_for of pipeline {name!r}", function, parent, settings, library.plain_blueprints()
    )
    return blueprint


def _user(what: str, function: Any, *arguments: Any) -> Any:
    """Call user code; whatever it raises is a UserCodeError with its message. :param what: the name of that code."""
    try:
        return function(*arguments)
    except DerivedSeriesError:
        raise
    except MemoryError as error:
        raise UserCodeError(f"{what} ran out of memory") from error
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # the boundary to user code
        raise UserCodeError(raised_message(what, error)) from error


def _finish(
    output: _Output,
    result: Any,
    parent: ParentSeries,
    context: BuildContext,
    options: Options,
) -> Series:
    """What ``process`` returned for an output, as a series."""
    own_build = builds_itself(output.factory)
    if not own_build and isinstance(result, Iterator):  # such as a generator, which runs only now
        result = _user(f"process of {output}", list, result)
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
        return _built_by(output.factory, output.theirs or output.header, result, parent, context)
    if isinstance(result, Path):
        result = _user(_of(output.factory, "read"), output.factory.read, result)
    series = options.build(output.factory, output.header, result, options.nan)
    _require_series(series, output.factory)
    return series
