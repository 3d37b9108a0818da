"""CommandPipeline: a pipeline that runs a program, which reads and writes files."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypedDict, Unpack

from pydantic import BaseModel
from pydicom import Dataset, dcmread

from derived_series.dicom.blueprints.algorithm import Algorithm
from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.factories.base import DicomFactory
from derived_series.dicom.factories.kinds import ObjectFactory
from derived_series.dicom.source.instances import is_dicom
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import BlueprintError, DerivedSeriesError, UserCodeError
from derived_series.pipelines.arguments import Arguments, check, placed
from derived_series.pipelines.declaration import check_declaration
from derived_series.pipelines.input import Input
from derived_series.pipelines.input_container import InputContainer
from derived_series.pipelines.output import RESULT, VALUES, Output, Value
from derived_series.pipelines.pipeline import Pipeline
from derived_series.pipelines.supervised import Command, run

#: Progress as tqdm writes it: ``" 45%|####5     | 9/20 [00:03<00:04,  2.50it/s]"``.
TQDM = r"(?P<percent>\d{1,3}(?:\.\d+)?)\s*%\|"

#: The most files that an error names.
_MOST_NAMED = 20


class Declared(TypedDict, total=False):
    """The class attributes that a CommandPipeline object may set."""

    name: str
    input: Mapping[str, type[Input] | Input]
    dicom_factory: DicomFactory
    header_blueprint: Blueprint
    outputs: Mapping[str, Output]
    algorithm: Algorithm
    filling_strategy: FillingStrategy
    parent_input: str
    parameters: type[BaseModel]
    environment: str
    command: Arguments
    files: Mapping[str, str] | str
    values_file: str
    progress: str
    env: Mapping[str, str]


class CommandPipeline(Pipeline):
    """Writes its inputs to files, runs a command, and takes its outputs from the files that the command wrote.

    Subclass it, or name an object at the top of a file: ``thresholded = CommandPipeline(command=[...], files=...)``.

    The command runs in a folder of its own. After the job the folder is removed, and the processes that it started are
    ended.

    :cvar command: the program and its arguments, a list; no shell reads them. In braces: ``{NAME}`` of an input (its
        file or folder), ``{in}`` (the folder of all inputs), ``{out}`` (the folder for results), ``{folder}`` (where
        the command runs), ``{here}`` (the folder of the pipeline's file), and the names of parameters. An inner list is
        left out if a name in it has no value, or is False: ``["--prior", "{prior}"]``.
    :cvar files: output name -> the file in ``{out}``, or a pattern such as ``"**/*.dcm"``; a pipeline without
        ``outputs`` gives the file alone. NIfTI, .npy, PDF and whatever else the output's factory reads; DICOM files are
        finished datasets.
    :cvar values_file: a JSON file in ``{out}`` with numbers: ``{"liver": {"Value": 1432.1, "Unit": "ml"}, "n": 3}``. An
        ``Output("measurement_report", values=True)`` is made from them and needs no file.
    :cvar progress: a regular expression that finds the progress in a line of output, with a group ``percent``, or
        ``done`` and ``total``; by default it finds tqdm's.
    :cvar env: environment variables; braces mean the same as in the command.
    """

    command: ClassVar[Arguments] = ()
    files: ClassVar[Mapping[str, str] | str] = ""
    dicom_factory: ClassVar[DicomFactory] = ObjectFactory()
    values_file: ClassVar[str] = ""
    progress: ClassVar[str] = TQDM
    env: ClassVar[Mapping[str, str]] = {}
    folders: ClassVar[tuple[str, ...]] = ("in", "out", "folder", "here")

    def __init__(self, **declared: Unpack[Declared]):
        """Set class attributes by name. :raises BlueprintError: the class has no such attribute."""
        declare(self, declared, Declared)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if cls.command:
            cls.check()

    @classmethod
    def check(cls) -> None:
        """Check the declaration.

        :raises BlueprintError: an unknown name in braces, an output without a file, or a bad regular expression.
        """
        check_declaration(cls)
        known = [*cls.input, *cls.folders, *cls.parameters.model_fields]
        if twice := sorted({name for name in known if known.count(name) > 1}):
            raise BlueprintError(
                f"{cls.__name__} has several things named {', '.join(twice)}",
                remedy=f"{', '.join(cls.folders)} are folders: name inputs and parameters otherwise",
            )
        check(cls.command, known, f"the command of {cls.__name__}")
        check(list(cls.env.values()), known, f"env of {cls.__name__}")
        outputs = cls.all_outputs()
        from_files = {name for name, output in outputs.items() if not output.values}
        if not from_files <= set(cls.named_files()) <= set(outputs):
            raise BlueprintError(
                f"files of {cls.__name__} names {', '.join(cls.named_files()) or 'nothing'}, its outputs are "
                f"{', '.join(outputs)}",
                remedy='name the file of each output: files = {"seg": "seg.nii.gz"}; one of values needs none',
            )
        try:
            groups = set(re.compile(cls.progress).groupindex)
        except re.error as error:
            raise BlueprintError(f"progress of {cls.__name__} is not a regular expression: {error}") from error
        if not ({"percent"} <= groups or {"done", "total"} <= groups):
            raise BlueprintError(
                f"progress of {cls.__name__} has no group 'percent', nor 'done' and 'total'",
                remedy=r"name the groups: r'(?P<done>\d+) of (?P<total>\d+)'",
            )

    @classmethod
    def named_files(cls) -> Mapping[str, str]:
        """``files`` by output name."""
        if isinstance(cls.files, str):
            return {RESULT: cls.files} if cls.files else {}
        return cls.files

    def process(self, input_container: InputContainer) -> Any:
        """Run the command; return the outputs by name."""
        container = input_container
        folders = {name: container.folder / name for name in ("in", "out", "tmp")}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        written = self.write_inputs(container, folders["in"])
        run(self.line(container, written), Listener(self.progress, container))
        return self.collect(container, folders["out"])

    def write_inputs(self, container: InputContainer, folder: Path) -> dict[str, Path | None]:
        """Write each input; return its file or folder, None for an input that the derivation lacks."""
        return {
            name: write_input(wanted, name, container.parents.get(name), folder) for name, wanted in self.input.items()
        }

    def line(self, container: InputContainer, written: Mapping[str, Path | None]) -> Command:
        """The command of a derivation. :param written: the file or folder of each input.

        :raises BlueprintError: the class names no command.
        """
        if not self.command:
            raise BlueprintError(
                f"pipeline {self.pipeline_name()!r} has no command",
                remedy='name the program and its arguments: command = ["program", "{parent}", "{out}"]',
            )
        values = {
            **container.parameters.model_dump(),
            **written,
            "in": container.folder / "in",
            "out": container.folder / "out",
            "folder": container.folder,
            "here": Path(inspect.getfile(type(self))).parent,
        }
        tmp = str(container.folder / "tmp")
        return Command(
            placed(self.command, values),
            container.folder,
            {"TMPDIR": tmp, "TMP": tmp, "TEMP": tmp, **self.variables(values)},
            remove=[container.folder],
        )

    def variables(self, values: Mapping[str, Any]) -> dict[str, str]:
        """``env`` with the paths and parameters of a job."""
        return {name: " ".join(placed([text], values)) for name, text in self.env.items()}

    def collect(self, container: InputContainer, out: Path) -> dict[str, Any]:
        """What the command wrote, by output.

        :raises UserCodeError: an output is missing, has several files, or has values that are not numbers.
        """
        results = {name: self._result(out, name, output) for name, output in self.all_outputs().items()}
        collected = {name: result for name, result in results.items() if result is not None}
        if self.values_file:
            collected[VALUES] = read_values(out / self.values_file)
        return collected

    def _result(self, out: Path, name: str, output: Output) -> Any:
        pattern = self.named_files().get(name)
        if pattern is None:
            return None  # its values have their own file
        matching = sorted(path for path in out.glob(pattern) if is_of(path, out))
        files = [file for path in matching for file in ([path] if path.is_file() else _files(path))]
        if not files and output.optional:
            return None
        if files and all(map(is_dicom, files)):
            return in_order([dcmread(file) for file in files])
        if len(files) != 1:
            there = [str(file.relative_to(out)) for file in _files(out)]
            listed = ", ".join(there[:_MOST_NAMED]) or "nothing"
            wrote = "no file" if not files else f"{len(files)} files"
            raise UserCodeError(
                f"the command of pipeline {self.pipeline_name()!r} wrote {wrote} {pattern!r} for the output "
                f"{name!r}; it wrote {listed}",
                remedy="name the one file of the output in files"
                if files
                else "mend the file's name in files, or the command, so that it writes this file to {out}; what it "
                "printed is in the log",
            )
        try:
            return output.factory.read(files[0])
        except DerivedSeriesError as error:
            raise UserCodeError(
                f"the command of pipeline {self.pipeline_name()!r} wrote {files[0].relative_to(out)} for the output "
                f"{name!r}, which cannot be read: {error.message}",
                remedy=error.remedy
                or f"mend the command, so that it writes a file that {type(output.factory).__name__} reads",
                details=error.details,
            ) from error


def declare(pipeline: Pipeline, declared: Mapping[str, Any], known: type) -> None:
    """Set class attributes on an object that stands for a class.

    :param known: a TypedDict of the possible names.
    :raises BlueprintError: another name.
    """
    names = list(known.__annotations__)
    if unknown := [name for name in declared if name not in names]:
        raise BlueprintError(
            f"{type(pipeline).__name__} has no {', '.join(map(repr, unknown))}", remedy=f"use {', '.join(names)}"
        )
    for name, value in declared.items():
        setattr(pipeline, name, value)


class Listener:
    """Passes a command's output on to a job's log and progress."""

    def __init__(self, expression: str, container: InputContainer):
        self._expression = re.compile(expression)
        self._container = container

    def __call__(self, line: str) -> None:
        match = self._expression.search(line)
        if match is None:
            self._container.log(line)
            return
        groups = match.groupdict()
        if "percent" in groups:
            part = float(groups["percent"]) / 100
        else:
            part = float(groups["done"]) / max(float(groups["total"]), 1e-9)
        self._container.progress(min(max(part, 0.0), 1.0), line[:200])


def write_input(wanted: type[Input], name: str, series: ParentSeries | None, folder: Path) -> Path | None:
    """Write an input as the file or folder that its ``as_`` asks for."""
    if series is None:
        return None
    if wanted.as_ == "dicom":
        path = folder / (wanted.file or name)
        path.mkdir(parents=True)
        series.save_dicom(path)
        return path
    path = folder / (wanted.file or f"{name}.nii.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    series.to_nifti().to_filename(path)
    return path


def in_order(datasets: list[Dataset]) -> list[Dataset]:
    """Datasets of one series in its order: ascending along the normal, or by InstanceNumber without positions."""
    try:
        placed = list(ParentSeries.from_datasets(datasets).instances)
    except DerivedSeriesError:  # the gate reports what is wrong with them
        placed = []
    if {id(each) for each in placed} == {id(each) for each in datasets}:
        return placed
    return sorted(datasets, key=lambda each: int(each.get("InstanceNumber") or 0))


def is_of(path: Path, folder: Path) -> bool:
    """Whether a path is in the folder, even after following links."""
    return path.resolve().is_relative_to(folder.resolve())


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and is_of(path, folder))


def read_values(file: Path) -> dict[str, Value]:
    """The numbers in a JSON file. :raises UserCodeError: the file is missing, or has something other than numbers."""
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserCodeError(
            f"the values of the command cannot be read from {file.name}: {error}",
            remedy="mend values_file, or the command, so that it writes this JSON file to {out}",
        ) from error
    if not isinstance(document, dict):
        raise UserCodeError(f"{file.name} holds no JSON object", remedy='write {"liver": {"Value": 1, "Unit": "ml"}}')
    return {str(name): _value(name, content) for name, content in document.items()}


def _value(name: str, content: Any) -> Value:
    if isinstance(content, dict) and "Value" in content and set(content) <= {"Value", "Unit"}:
        return Value(content["Value"], content.get("Unit", "1"))
    if isinstance(content, int | float):
        return Value(content)
    raise UserCodeError(f"the value {name!r} is {content!r}, not a number", remedy='write {"Value": 1, "Unit": "ml"}')
