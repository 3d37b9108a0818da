"""The library: named blueprints, pipelines and factories of the blueprint folders."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TypeVar

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.factories.base import DicomFactory
from derived_series.dicom.factories.kinds import FACTORIES
from derived_series.errors import BlueprintError, NotFound
from derived_series.pipelines.code import Code, code_of
from derived_series.pipelines.declaration import check_declaration
from derived_series.pipelines.pipeline import Pipeline, snake_case
from derived_series.user_code import described, place

_log = logging.getLogger(__name__)

#: The prefix of the modules' names.
_MODULES = "derived_series_library_"

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class NamedBlueprint:
    """A blueprint of the library.

    :param description: the first line of the file's docstring; :param sha256: of the file.
    """

    name: str
    blueprint: Blueprint
    description: str
    file: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class NamedPipeline:
    """A pipeline of the library.

    :param description: the first line of the class's docstring; :param sha256: of the file.
    :param code: all that the result depends on besides parents and request.
    """

    name: str
    pipeline: type[Pipeline]
    description: str
    file: Path
    sha256: str
    code: Code = Code()


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that could not be loaded, with the reason."""

    file: Path
    message: str


@dataclass(frozen=True, slots=True)
class Library:
    """The contents of the blueprint folders.

    A file ``name.py`` gives the blueprint ``name`` if it defines ``blueprint``. It also gives every Pipeline and
    DicomFactory subclass that it defines, and every Pipeline object by its name in the file. Files whose names begin
    with ``_`` are helpers, which the others import.
    A file that fails is listed as a problem and does not stop the others.
    """

    blueprints: Mapping[str, NamedBlueprint]
    pipelines: Mapping[str, NamedPipeline]
    factories: Mapping[str, type[DicomFactory]]
    problems: tuple[Problem, ...]

    @classmethod
    def load(cls, folders: Iterable[str | Path]) -> Library:
        """Run every ``*.py`` of the folders, in name order; of two things of one name the first is kept.

        :param folders: folders or single files.
        """
        blueprints: dict[str, NamedBlueprint] = {}
        pipelines: dict[str, NamedPipeline] = {}
        factories = dict(FACTORIES)
        problems = []
        for folder in map(Path, folders):
            if not folder.exists():
                problems.append(Problem(folder, "is not a folder"))
                continue
            home = str((folder.parent if folder.is_file() else folder).resolve())
            if home not in sys.path:  # last, so that a helper hides no library
                sys.path.append(home)
            for file in [folder] if folder.is_file() else sorted(folder.glob("*.py")):
                if file.name.startswith("_"):
                    continue
                try:
                    _collect(file, blueprints, pipelines, factories)
                except Exception as error:  # the boundary to user files: an error is reported and stops no other file
                    _log.info("%s cannot be loaded: %s", file.name, described(error), exc_info=True)
                    problems.append(Problem(file, _with_place(error)))
        return cls(
            MappingProxyType(blueprints), MappingProxyType(pipelines), MappingProxyType(factories), tuple(problems)
        )

    def blueprint(self, name: str) -> NamedBlueprint:
        """A blueprint by its name. :raises NotFound: there is none; the message names the existing ones."""
        return _find("blueprint", name, self.blueprints)

    def pipeline(self, name: str) -> NamedPipeline:
        """A pipeline by its name. :raises NotFound: there is none; the message names the existing ones."""
        return _find("pipeline", name, self.pipelines)

    def factory(self, name: str) -> type[DicomFactory]:
        """A factory by its name. :raises NotFound: there is none; the message names the existing ones."""
        return _find("factory", name, self.factories)

    def plain_blueprints(self) -> dict[str, Blueprint]:
        """The blueprints alone, by name; the KeyError of another name lists them."""
        return _Blueprints((name, named.blueprint) for name, named in self.blueprints.items())


class _Blueprints(dict[str, Blueprint]):
    def __missing__(self, name: object) -> Blueprint:
        raise KeyError(f"there is no blueprint {name!r}: there are {', '.join(sorted(self)) or 'none'}")


def _find(kind: str, name: str, there: Mapping[str, Thing]) -> Thing:
    if name not in there:
        raise NotFound(
            f"there is no {kind} {name!r}", remedy=f"use one of: {', '.join(sorted(there)) or 'none is loaded'}"
        )
    return there[name]


def _collect(
    file: Path,
    blueprints: dict[str, NamedBlueprint],
    pipelines: dict[str, NamedPipeline],
    factories: dict[str, type[DicomFactory]],
) -> None:
    module = _run(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    blueprint = getattr(module, "blueprint", None)
    if blueprint is not None:
        if not isinstance(blueprint, Blueprint):
            raise BlueprintError(f"'blueprint' is a {type(blueprint).__name__}, not a Blueprint")
        named = NamedBlueprint(file.stem, blueprint.named(file.stem), _first_line(module.__doc__), file, digest)
        _put("blueprint", file.stem, named, blueprints)
    classes = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    classes += [
        each.as_class(name, module.__name__, module.__doc__)
        for name, each in vars(module).items()
        if isinstance(each, Pipeline) and not name.startswith("_") and (vars(each) or type(each) not in classes)
    ]
    others = [name for name, each in vars(module).items() if isinstance(each, Blueprint) and name != "blueprint"]
    if blueprint is None and others and not any(issubclass(each, Pipeline | DicomFactory) for each in classes):
        raise BlueprintError(
            f"it names its blueprint {others[-1]!r}, which is not looked for", remedy="name it 'blueprint'"
        )
    for member in classes:
        if issubclass(member, Pipeline):
            check_declaration(member)
            member.parent_name()
            name = member.pipeline_name()
            code = code_of(file, member.algorithm)
            _put(
                "pipeline",
                name,
                NamedPipeline(name, member, _first_line(member.__doc__), file, digest, code),
                pipelines,
            )
        elif issubclass(member, DicomFactory):
            _put("factory", snake_case(member.__name__).removesuffix("_factory"), member, factories)


def _put(kind: str, name: str, thing: Thing, there: dict[str, Thing]) -> None:
    if name in there:
        raise BlueprintError(
            f"there is a {kind} {name!r} already, {_origin(there[name])}",
            remedy="give one of them another name, or remove one",
        )
    there[name] = thing


def _origin(thing: object) -> str:
    """Where a thing of the library comes from: the end of the file's path, which answers may show."""
    if isinstance(thing, NamedBlueprint | NamedPipeline):
        return f"of {'/'.join(thing.file.parts[-3:])}"
    module = getattr(thing, "__module__", "")
    file = getattr(sys.modules.get(module), "__file__", None)
    return f"of {'/'.join(Path(file).parts[-3:])}" if module.startswith(_MODULES) and file else "of this package"


def _with_place(error: Exception) -> str:
    """An exception of a file in words, with the line of the file that raised it."""
    where = place(error).removesuffix(", in <module>")
    return f"{described(error)} ({where})" if where else described(error)


def _run(file: Path) -> ModuleType:
    """The module of a file, under a name that no import meets by chance."""
    name = f"{_MODULES}{hashlib.sha256(str(file).encode()).hexdigest()[:12]}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise BlueprintError(f"{file.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickling and pydantic look classes up there
    try:
        spec.loader.exec_module(module)
    except SystemExit as error:
        raise BlueprintError(f"{file.name} calls sys.exit({error.code!r})") from error
    return module


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]
