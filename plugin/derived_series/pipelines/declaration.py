"""Checks the declaration of a pipeline's class: its attributes are known, and of the required types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from derived_series.dicom.blueprints.algorithm import Algorithm
from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.encoding.tags import to_tag
from derived_series.dicom.factories.base import DicomFactory
from derived_series.errors import BlueprintError
from derived_series.pipelines.input import Input
from derived_series.pipelines.misspelt import check_names
from derived_series.pipelines.output import Output, checked_outputs

#: The most characters of a pipeline's or an input's name in a request.
_NAME_CHARACTERS = 128
_VALUE_CHARACTERS = 80

#: The types of each attribute, and how to write it.
_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "environment": ((str, type(None)), 'give the name of an environment as text: environment = "torch"'),
    "parent_input": ((str, type(None)), 'give the name of an input as text: parent_input = "ct"'),
    "dicom_factory": ((DicomFactory,), "give an object of a factory: dicom_factory = NumpyFactory()"),
    "header_blueprint": ((Blueprint, type(None)), "give a Blueprint: header_blueprint = ct_blueprint"),
    "algorithm": ((Algorithm, type(None)), 'give an Algorithm: algorithm = Algorithm("net", version="1")'),
    "filling_strategy": (
        (FillingStrategy,),
        "write filling_strategy = FillingStrategy.DISCARD or FillingStrategy.COPY (the words are those of requests)",
    ),
    "outputs": ((Mapping,), 'give Outputs by their names: outputs = {"seg": Output("segmentation")}'),
    "input": ((Mapping,), 'give Input classes by their names: input = {"ct": CT}'),
}


def check_declaration(pipeline: Any) -> None:
    """Check the attributes of a pipeline's class.

    :raises BlueprintError: an attribute has a wrong type or a misspelt name; the message says how to write it.
    """
    title = pipeline.__name__
    check_names(pipeline)
    _check_name(title, pipeline.name)
    if not (isinstance(pipeline.parameters, type) and issubclass(pipeline.parameters, BaseModel)):
        raise _wrong(
            f"{title}.parameters",
            pipeline.parameters,
            "write a class of pydantic's: class Settings(Parameters): factor: float = 0.5; and parameters = Settings",
        )
    for name, (types, remedy) in _TYPES.items():
        value = getattr(pipeline, name)
        if not isinstance(value, types):
            raise _wrong(f"{title}.{name}", value, remedy)
    for name, declared in pipeline.input.items():
        _check_input(title, name, declared)
    checked_outputs(title, pipeline.outputs)
    for name, output in pipeline.outputs.items():
        _check_output(f"the output {name!r} of {title}", output)


def _check_name(title: str, name: object) -> None:
    remedy = 'give a text without "/": name = "smoothing"; without a name it is the class\'s'
    if not isinstance(name, str):
        raise _wrong(f"{title}.name", name, remedy)
    stands_in_address = name.isprintable() and name == name.strip() and not {"/", "\\"} & {*name}
    if not stands_in_address or name in (".", "..") or len(name) > _NAME_CHARACTERS:
        raise BlueprintError(
            f"{title}.name is {_short(name)}, which cannot stand in an address (of {_NAME_CHARACTERS} characters at "
            "most)",
            remedy=remedy,
        )


def _check_input(title: str, name: object, declared: Any) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= _NAME_CHARACTERS:
        raise _wrong(f"the name of an input of {title}", name, 'name it by a text: input = {"ct": CT}')
    check_names(Input.class_of(declared, name))
    what = f"of the input {name!r} of {title}"
    tags, values = declared.required_tags, declared.required_values
    if isinstance(tags, str) or not hasattr(tags, "__iter__"):
        raise _wrong(f"required_tags {what}", tags, 'give a list of tags: required_tags = ["PixelSpacing"]')
    if not isinstance(values, Mapping):
        raise _wrong(f"required_values {what}", values, 'give values by their tags: {"Modality": "CT"}')
    for tag in (*tags, *values):
        to_tag(tag)
    if declared.as_ not in ("nifti", "dicom"):
        raise _wrong(f"as_ {what}", declared.as_, 'write as_ = "nifti" or "dicom"')


def _check_output(what: str, output: Output) -> None:
    check_names(type(output))
    if not isinstance(output.blueprint, Blueprint | str | None):
        raise _wrong(f"the blueprint of {what}", output.blueprint, "give a Blueprint, or the name of one")
    if not isinstance(output.filling_strategy, FillingStrategy | None):
        raise _wrong(f"filling_strategy of {what}", output.filling_strategy, _TYPES["filling_strategy"][1])


def _wrong(what: str, value: object, remedy: str) -> BlueprintError:
    kind = "the class" if isinstance(value, type) else f"of type {type(value).__name__}:"
    text = value.__name__ if isinstance(value, type) else _short(value)
    return BlueprintError(f"{what} is {kind} {text}" if value is not None else f"{what} is None", remedy=remedy)


def _short(value: object) -> str:
    return repr(value)[:_VALUE_CHARACTERS]
