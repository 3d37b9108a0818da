"""The library in a worker process, and its description (the catalogue) for other processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.encoding.tags import keyword, number
from derived_series.jobs.messages import Catalogue
from derived_series.jobs.plain import encodable, text_of
from derived_series.kinds import KINDS
from derived_series.kinds.file_types import IMAGE_FILES
from derived_series.kinds.kind import Kind
from derived_series.pipelines.blueprint_kinds import kind_made_by
from derived_series.pipelines.library import Library, NamedBlueprint, NamedPipeline, Problem
from derived_series.user_code import described, place

_log = logging.getLogger(__name__)

Named = TypeVar("Named", NamedBlueprint, NamedPipeline)
Entry: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DescribedLibrary:
    """A library without the entries that cannot be described.

    :param blueprints: the descriptions of blueprints by name. :param pipelines: those of pipelines.
    """

    library: Library
    blueprints: Mapping[str, Entry]
    pipelines: Mapping[str, Entry]


@lru_cache(maxsize=1)
def described_library(folders: tuple[str, ...]) -> DescribedLibrary:
    """Load the library, once in each process; changed files take effect after a restart.

    An entry that cannot be described becomes a problem of its file and is left out.
    """
    library = Library.load(Path(folder) for folder in folders)
    problems = list(library.problems)
    blueprints = _entries("blueprint", library.blueprints, blueprint_json, problems)
    pipelines = _entries("pipeline", library.pipelines, pipeline_json, problems)
    for problem in problems:
        _log.warning("%s cannot be loaded: %s", problem.file.name, problem.message)
    usable = replace(
        library,
        blueprints={name: library.blueprints[name] for name in blueprints},
        pipelines={name: library.pipelines[name] for name in pipelines},
        problems=tuple(problems),
    )
    return DescribedLibrary(usable, blueprints, pipelines)


def _entries(
    kind: str, there: Mapping[str, Named], describe: Callable[[Named], Entry], problems: list[Problem]
) -> dict[str, Entry]:
    entries = {}
    for name, named in sorted(there.items()):
        try:
            entries[name] = encodable(describe(named))
        except Exception as error:  # the boundary to user files: it stops no other
            where = f" ({place(error)})" if place(error) else ""
            message = f"the {kind} {name!r} cannot be described: {described(error)}{where}"
            problems.append(Problem(named.file, message))
    return entries


def library_of(folders: tuple[str, ...]) -> Library:
    """The library of a process."""
    return described_library(folders).library


def catalogue(folders: tuple[str, ...]) -> Catalogue:
    """Describe everything in the folders."""
    known = described_library(folders)
    return Catalogue(
        blueprints=dict(known.blueprints),
        pipelines=dict(known.pipelines),
        factories={
            name: {
                "Name": name,
                "Class": factory.__name__,
                "Description": text_of(factory.__doc__ or "").strip().split("\n")[0],
            }
            for name, factory in sorted(known.library.factories.items())
        },
        problems=[{"File": str(problem.file), "Message": problem.message} for problem in known.library.problems],
    )


def blueprint_json(named: NamedBlueprint) -> Entry:
    """The description of a blueprint."""
    return {
        "Name": named.name,
        "Description": named.description,
        "File": named.file.name,
        "Sha256": named.sha256,
        "Kind": kind_json(_kind_of(named)),
        "Elements": _elements(named.blueprint),
    }


def _kind_of(named: NamedBlueprint) -> Kind | None:
    """The kind of object that a blueprint makes; if several have its SOP class, or the parent decides, by its name."""
    made_by = kind_made_by(named.blueprint)
    namesake = next((kind for kind in KINDS if kind.blueprint == named.name), None)
    is_of_class = namesake is not None and (made_by is None or made_by.sop_classes == namesake.sop_classes)
    return namesake if is_of_class else made_by


def kind_json(kind: Kind | None) -> dict[str, Any] | None:
    """What a form must know about a kind of object to make one from a file; None if the blueprint does not say which.

    ``Modality`` is the parent's, if it matters. ``OnParent``: an array must be on the parent's slices, and so have
    their shape. ``Files`` are the accepted types of file and those that are confused with them; ``Starts`` are their
    first bytes in hexadecimal digits.
    """
    if kind is None:
        return None
    first = kind.sop_classes[0]
    return {
        "Name": kind.blueprint,
        "Factory": kind.factory,
        "Modality": first.modality if first.copies_acquisition else None,
        "OnParent": (first.placed or kind.shows_parent) and not kind.files,
        "Keys": [key.name for key in kind.keys],
        "Files": [
            {
                "Name": file.name,
                "Suffix": file.suffix,
                "Starts": [start.hex() for start in file.starts],
                "Factory": file.factory,
                "Remedy": file.remedy,
            }
            for file in kind.files or IMAGE_FILES
        ],
    }


def _elements(blueprint: Blueprint) -> list[dict[str, Any]]:
    return [
        {
            "Tag": number(entry.element.key[0]),
            "Keyword": keyword(entry.element.key[0]),
            "Element": repr(entry.element),
            "Blueprint": entry.source,
        }
        for entry in blueprint.entries()
    ]


def pipeline_json(named: NamedPipeline) -> dict[str, Any]:
    """The description of a pipeline; ``Parameters`` is a JSON schema."""
    pipeline = named.pipeline
    try:
        parameters = pipeline.parameters.model_json_schema()
    except Exception as error:  # the boundary to a model of the user's: a field may have no JSON schema
        _log.info("the parameters of the pipeline %s have no schema", named.name, exc_info=True)
        parameters = {"description": f"it has no schema: {described(error)}"}
    return {
        "Name": named.name,
        "Description": named.description,
        "File": named.file.name,
        "Folder": str(named.file.parent),
        "Sha256": named.sha256,
        "Code": named.code.digest(named.sha256),
        "Inputs": list(pipeline.input),
        "ParentInput": pipeline.parent_name(),
        "PriorInputs": [name for name, wanted in pipeline.input.items() if wanted.prior],
        "OptionalInputs": [name for name, wanted in pipeline.input.items() if wanted.optional],
        "Environment": pipeline.environment,
        "Factory": type(pipeline.dicom_factory).__name__,
        "Outputs": [
            {"Name": name, "Factory": type(output.factory).__name__, "Optional": output.optional}
            for name, output in pipeline.all_outputs().items()
        ],
        "FillingStrategy": pipeline.filling_strategy.value,
        "Parameters": parameters,
    }
