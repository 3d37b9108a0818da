"""The library in a worker process, and its description for everybody else."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.encoding.tags import keyword, number
from derived_series.errors import DerivedSeriesError
from derived_series.jobs.messages import Catalogue
from derived_series.kinds import KINDS
from derived_series.kinds.file_types import IMAGE_FILES
from derived_series.kinds.kind import Kind
from derived_series.pipelines.library import Library, NamedBlueprint, NamedPipeline
from derived_series.pipelines.run import kind_made_by


@lru_cache(maxsize=1)
def library_of(folders: tuple[str, ...]) -> Library:
    """The library, loaded once a process: a changed file is seen after a restart."""
    return Library.load(Path(folder) for folder in folders)


def catalogue(folders: tuple[str, ...]) -> Catalogue:
    """Describe all that the folders hold."""
    library = library_of(folders)
    return Catalogue(
        blueprints={
            name: {
                "Name": name,
                "Description": named.description,
                "File": named.file.name,
                "Sha256": named.sha256,
                "Kind": kind_json(_kind_of(named)),
                "Elements": _elements(named.blueprint),
            }
            for name, named in sorted(library.blueprints.items())
        },
        pipelines={name: pipeline_json(named) for name, named in sorted(library.pipelines.items())},
        factories={
            name: {
                "Name": name,
                "Class": factory.__name__,
                "Description": (factory.__doc__ or "").strip().split("\n")[0],
            }
            for name, factory in sorted(library.factories.items())
        },
        problems=[{"File": str(problem.file), "Message": problem.message} for problem in library.problems],
    )


def _kind_of(named: NamedBlueprint) -> Kind | None:
    """The kind of object that a blueprint makes: of several of one SOP class, and where its parent has the class, the
    one of its name."""
    made_by = kind_made_by(named.blueprint)
    namesake = next((kind for kind in KINDS if kind.blueprint == named.name), None)
    is_of_class = namesake is not None and (made_by is None or made_by.sop_classes == namesake.sop_classes)
    return namesake if is_of_class else made_by


def kind_json(kind: Kind | None) -> dict[str, Any] | None:
    """What a form has to know of a kind of object to make one from a file; None where a blueprint does not say which.

    ``Modality`` is what a parent's must be, where that matters; ``OnParent`` says that an array is on the parent's
    slices, and so of their shape; ``Files`` are those that it is made from, and what is taken for one by mistake:
    ``Starts`` are their first bytes, as hexadecimal digits.
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
    """A pipeline as it is listed; ``Parameters`` is a JSON schema."""
    pipeline = named.pipeline
    try:
        parameters = pipeline.parameters.model_json_schema()
    except (TypeError, ValueError, DerivedSeriesError) as error:  # a field without a JSON schema
        parameters = {"description": f"no schema: {error}"}
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
