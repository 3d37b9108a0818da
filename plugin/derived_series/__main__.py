"""The command line, ``derived-series`` or ``python -m derived_series``.

``build``, ``explain``, ``lint`` and ``list`` need no server; ``install`` and ``doctor`` set up and check an Orthanc;
``worker``, ``scheduler`` and ``certificates`` are for machines that run jobs for it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.explanation import explain
from derived_series.dicom.image.resampling import Resampling
from derived_series.dicom.modules.picture import SETTINGS
from derived_series.dicom.modules.segments_from import TABLES, segments_from
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.instances import is_dicom
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.selection import Part, Plane, Selection
from derived_series.dicom.validation import IODS, errors, lint
from derived_series.errors import Choice, DerivedSeriesError, InvalidImage, InvalidParent, InvalidRequest
from derived_series.installation.commands import COMMANDS, add_commands
from derived_series.installation.places import ready_blueprints
from derived_series.kinds import readable_suffixes, reader_of
from derived_series.machines import machine_commands as machines
from derived_series.pipelines.gate import Validation
from derived_series.pipelines.input import Input
from derived_series.pipelines.library import Library
from derived_series.pipelines.linted_blueprints import blueprints_without_parent
from derived_series.pipelines.run import Options, Results, extra_blueprint, run_blueprint, run_outputs
from derived_series.transfer_syntaxes import WRITTEN

#: The blueprints that come with the package; where they are missing, --blueprints must name others.
DEFAULT_FOLDER = ready_blueprints()

#: The command line's way to make the choices that errors suggest.
_CHOICES: dict[Choice, str] = {
    Choice.NAN: "--nan 0",
    Choice.PARENT_GRID: "--grid parent",
    Choice.OWN_GRID: "without --grid parent",
    Choice.NEW_FRAME: "--frame-of-reference new",
    Choice.PARENT_FRAME: "without --frame-of-reference new",
    Choice.NO_PLACE: "without --grid and --frame-of-reference",
    Choice.ORIENTATION: "--orientation {value}",
    Choice.PART: "--part {value}",
    Choice.TRANSFER_SYNTAX: "--transfer-syntax",
    Choice.WARNINGS: "--validation warn",
    Choice.NO_VALIDATION: "--validation off",
    Choice.IOD: "--iod",
    Choice.FILE: "--image FILE",
}

_VALIDATIONS: dict[str, Validation] = {"strict": "Strict", "warn": "Warn", "off": "Off"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. The exit code is 0, 1 when ``lint`` finds errors, or 2 with one line on stderr for bad input."""
    options = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    try:
        if (command_of_machines := {**COMMANDS, **machines.COMMANDS}.get(options.command)) is not None:
            return command_of_machines(options)
        library = _with_files(options, Library.load(options.blueprints or [DEFAULT_FOLDER]))
        _tell_problems(options, library)
        command = {"build": _build, "explain": _explain, "lint": _lint, "list": _list}[options.command]
        return command(options, library)
    except DerivedSeriesError as error:
        remedy = error.remedy_in(_CHOICES)
        text = f"{error.message} ({remedy})" if remedy else error.message
        print("error: " + " ".join(text.split()), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _with_files(options: argparse.Namespace, library: Library) -> Library:
    """Add to the library the files given as ``--blueprint`` or ``--pipeline``, and replace these options by names."""
    if Path(getattr(options, "blueprint", None) or "").suffix == ".py":
        file, of_file = _loaded(options.blueprint)
        if file.stem not in of_file.blueprints:
            raise InvalidRequest(f"{options.blueprint} has no blueprint", remedy="name it 'blueprint' in the file")
        options.blueprint = file.stem
        library = replace(library, blueprints={**library.blueprints, **of_file.blueprints})
    if Path(getattr(options, "pipeline", None) or "").suffix == ".py":
        _, of_file = _loaded(options.pipeline)
        if len(of_file.pipelines) != 1:
            names = ", ".join(of_file.pipelines) or "none"
            raise InvalidRequest(
                f"{options.pipeline} has not one pipeline: there are {names}", remedy="name the pipeline"
            )
        (options.pipeline,) = of_file.pipelines
        blueprints = {**library.blueprints, **of_file.blueprints}
        library = replace(library, blueprints=blueprints, pipelines={**library.pipelines, **of_file.pipelines})
    return library


def _loaded(name: str) -> tuple[Path, Library]:
    """Load a file of blueprints and pipelines. :raises InvalidRequest: it is missing or cannot be loaded."""
    path = Path(name)
    if not path.is_file():
        raise InvalidRequest(f"{name} is not a file", remedy="name a file, or something that derived-series list shows")
    library = Library.load([path])
    for problem in library.problems:
        raise InvalidRequest(f"{problem.file.name}: {problem.message}")
    return path, library


def _tell_problems(options: argparse.Namespace, library: Library) -> None:
    """Warn of files that could not be loaded: one by one when they are listed or needed, else all in one line."""
    asked = {getattr(options, name, None) for name in ("blueprint", "pipeline", "what")}
    all_of_them = options.command == "list" or len(library.problems) == 1
    others = []
    for problem in library.problems:
        if all_of_them or problem.file.stem in asked:
            print(f"warning: {problem.file.name}: {problem.message}", file=sys.stderr)
        else:
            others.append(problem.file.name)
    if others:
        names = f"{', '.join(others[:3])}{', ...' if len(others) > 3 else ''}"
        print(f"warning: {len(others)} files cannot be loaded ({names}): derived-series list says why", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="derived-series", description=__doc__)
    parser.add_argument("--blueprints", action="append", metavar="DIR", help="folder of blueprints (may be repeated)")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build a derived series into a folder")
    build.add_argument("parent", metavar="PARENT_DIR")
    build.add_argument("out", metavar="OUT_DIR", help="a new or empty folder")
    _what(build)
    build.add_argument("--image", metavar="FILE", help=f"{readable_suffixes()}; without it the parent's own values")
    build.add_argument(
        "--pipeline", metavar="FILE_OR_NAME", help="instead of blueprint and image; several outputs get a folder each"
    )
    build.add_argument(
        "--input", action="append", default=[], metavar="NAME=DIR", help="another input of the pipeline than its parent"
    )
    build.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    build.add_argument("--description", help="SeriesDescription")
    build.add_argument("--replace", action="append", default=[], metavar="TAG=VALUE")
    build.add_argument(
        "--segments", metavar="TABLE", help=f"what labels are: {', '.join(TABLES)}, or a file of a table"
    )
    build.add_argument(
        "--picture", action="append", default=[], metavar="NAME=VALUE", help=f"of a picture: {', '.join(SETTINGS)}"
    )
    build.add_argument("--derivation", metavar="CODE", help="a code of CID 7203, such as GaussianBlur")
    build.add_argument("--grid", choices=["own", "parent"], default="own", help="parent resamples the image to it")
    build.add_argument("--interpolation", choices=["linear", "nearest"], help="when resampling")
    build.add_argument("--outside", type=float, help="when resampling, the value where the image is not")
    build.add_argument(
        "--frame-of-reference",
        choices=["parent", "new"],
        default="parent",
        help="new for an image in another space than the patient's, such as MNI's",
    )
    build.add_argument("--nan", type=float, help="what NaN and Inf are replaced by")
    build.add_argument("--transfer-syntax", metavar="NAME", help=f"one of {', '.join(WRITTEN)}")
    build.add_argument(
        "--validation", choices=["strict", "warn", "off"], default="strict", help="of the series, before it is written"
    )
    explained = commands.add_parser("explain", help="show which element sets which tag")
    explained.add_argument("parent", metavar="PARENT_DIR")
    _what(explained)
    lint = commands.add_parser("lint", help="check a blueprint against its IOD, without a parent")
    lint.add_argument("what", metavar="FILE_OR_NAME", help="a file, or the name of a blueprint or a pipeline")
    lint.add_argument("--iod", metavar="IOD", help=f"{', '.join(IODS)}; by default that of the SOPClassUID")
    lint.add_argument("--json", action="store_true", help="the findings as JSON")
    commands.add_parser("list", help="list blueprints, pipelines and factories")
    add_commands(commands)
    machines.add_commands(commands)
    return parser


def _joined(arguments: Sequence[str]) -> list[str]:
    """Join an option and a value that begins with a minus to ``--option=value``: argparse takes it for an option."""
    joined: list[str] = []
    for argument in arguments:
        former = joined[-1] if joined else ""
        is_value = argument[:1] == "-" and argument[:2] != "--" and argument != "-h"
        if is_value and former[:2] == "--" and "=" not in former:
            joined[-1] = f"{former}={argument}"
        else:
            joined.append(argument)
    return joined


def _what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--blueprint", metavar="FILE_OR_NAME")
    parser.add_argument("--orientation", metavar="PLANE", help="of several: Axial, Sagittal, Coronal, or six cosines")
    parser.add_argument("--part", choices=get_args(Part), help="of complex images")
    parser.add_argument("--filling", choices=[s.value for s in FillingStrategy], help="for tags that it does not name")


def _selection(options: argparse.Namespace) -> Selection:
    """Read ``--orientation``, a plane or six numbers separated by commas, and ``--part``."""
    if options.orientation in (None, *get_args(Plane)):
        return Selection(options.orientation, options.part)
    try:
        cosines = [float(number) for number in options.orientation.split(",")]
    except ValueError:
        cosines = []
    if len(cosines) != 6:
        raise InvalidRequest(
            f"--orientation {options.orientation!r} is neither a plane ({', '.join(get_args(Plane))}) nor six numbers"
        )
    return Selection(cosines, options.part)


def _pairs(pairs: Sequence[str], option: str) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise InvalidRequest(f"{option} {pair!r} is not NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def _results(asked: argparse.Namespace, library: Library) -> Results:
    """Build the series: one by output name for a pipeline, one under the empty name for a blueprint."""
    inputs = _folders_of_inputs(asked, library)
    parent = ParentSeries.from_folder(asked.parent, _selection(asked))
    strategy = FillingStrategy(asked.filling) if asked.filling else None
    extra = extra_blueprint(
        _pairs(asked.replace, "--replace"), asked.description, asked.derivation, pictured=_pictured(asked.picture)
    )
    if asked.segments:
        extra = extra + segments_from(asked.segments)
    options = Options(
        strategy,
        extra,
        asked.nan,
        _resampling(asked),
        asked.transfer_syntax,
        _VALIDATIONS[asked.validation],
        "New" if asked.frame_of_reference == "new" else "Parent",
    )
    context = BuildContext().seeded()
    if asked.pipeline:
        if asked.blueprint or asked.image:
            raise InvalidRequest("--pipeline makes its own image and header: leave --blueprint and --image out")
        parameters = _pairs(asked.parameter, "--parameter")
        pipeline = library.pipeline(asked.pipeline).pipeline
        parents = {name: _input_series(pipeline.input[name], folder) for name, folder in inputs.items()}
        parents = {pipeline.parent_name(): parent, **parents}
        return run_outputs(library, asked.pipeline, parents, parameters, options, context)
    if not asked.blueprint:
        raise InvalidRequest("name a --blueprint or a --pipeline", remedy="derived-series list shows them")
    image = Path(asked.image) if asked.image else None
    if image is not None and not image.is_file():
        raise InvalidImage(f"{image} is not a file")
    factory = "numpy" if image is None else reader_of(image.name)
    return Results({"": run_blueprint(library, asked.blueprint, factory, parent, image, options, context)}, {})


def _folders_of_inputs(asked: argparse.Namespace, library: Library) -> dict[str, str]:
    """The folders of the inputs besides the parent, from ``--input``; checked before anything is read or run.

    :raises InvalidRequest: one is missing, or the pipeline has none of its name.
    """
    folders = _pairs(asked.input, "--input")
    if not asked.pipeline:
        if folders:
            raise InvalidRequest("--input names the inputs of a --pipeline", remedy="name the pipeline too")
        return {}
    pipeline = library.pipeline(asked.pipeline).pipeline
    others = {name: wanted for name, wanted in pipeline.input.items() if name != pipeline.parent_name()}
    if unknown := [name for name in folders if name not in others]:
        raise InvalidRequest(
            f"pipeline {asked.pipeline!r} has no input {', '.join(map(repr, unknown))} beside its parent, "
            f"{pipeline.parent_name()!r}",
            remedy=f"--input takes {', '.join(others) or 'nothing: the parent is its one input'}",
        )
    if missing := [name for name, wanted in others.items() if name not in folders and not wanted.optional]:
        raise InvalidRequest(
            f"pipeline {asked.pipeline!r} needs the input{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            remedy="name the folder of each: " + " ".join(f"--input {name}=DIR" for name in missing),
        )
    return folders


def _input_series(wanted: type[Input], folder: str) -> ParentSeries:
    if not wanted.reads_objects() or not Path(folder).is_dir():
        return ParentSeries.from_folder(folder)
    files = sorted(file for file in Path(folder).rglob("*") if file.is_file() and is_dicom(file))
    if not files:
        raise InvalidParent(f"{folder} holds no DICOM file")
    return ParentSeries.from_objects(file.read_bytes() for file in files)


def _pictured(options: Sequence[str]) -> dict[str, Any]:
    """Read the settings of ``--picture``: numbers, ``true`` and ``false``. :raises InvalidRequest: other values."""
    pairs = _pairs(options, "--picture")
    try:
        return {name: json.loads(value) for name, value in pairs.items()}
    except ValueError as error:
        raise InvalidRequest(f"--picture {' '.join(options)}: {error}", remedy="write note=true, fill=0.4") from error


def _resampling(options: argparse.Namespace) -> Resampling | None:
    if options.grid == "parent":
        return Resampling(options.interpolation and options.interpolation.capitalize(), options.outside)
    if options.interpolation or options.outside is not None:
        raise InvalidRequest("--interpolation and --outside say how to resample: add --grid parent")
    return None


def _build(options: argparse.Namespace, library: Library) -> int:
    out = Path(options.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidRequest(f"{out} is there already and not empty", remedy="name another folder")
    results = _results(options, library)
    several = bool(options.pipeline) and len(library.pipeline(options.pipeline).pipeline.all_outputs()) > 1
    there = next(folder for folder in out.absolute().parents if folder.is_dir())
    with tempfile.TemporaryDirectory(dir=there, prefix=f".{out.name}.") as folder:
        whole = Path(folder) / "series"
        for name, series in results.series.items():
            _write(series, whole / name if several else whole)
        out.parent.mkdir(parents=True, exist_ok=True)
        whole.replace(out)
    for warning in dict.fromkeys(warning for series in results.series.values() for warning in series.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    for name, series in results.series.items():
        where = out / name if several else out
        print(f"{len(series)} instances of series {series.series_instance_uid} in {where}")
    for name, value in results.values.items():
        print(f"{name}: {value.number} {value.unit}")
    return 0


def _write(series: Series, folder: Path) -> None:
    folder.mkdir(parents=True)
    for index in range(len(series)):
        (folder / f"{index + 1:05d}.dcm").write_bytes(series.encode(index))


def _explain(options: argparse.Namespace, library: Library) -> int:
    if not options.blueprint:
        raise InvalidRequest("name a --blueprint", remedy="derived-series list shows them")
    strategy = FillingStrategy(options.filling or FillingStrategy.DISCARD)
    parent = ParentSeries.from_folder(options.parent, _selection(options))
    print(explain(library.blueprint(options.blueprint).blueprint, parent, strategy))
    return 0


def _lint(options: argparse.Namespace, library: Library) -> int:
    linted = _linted(options.what, library)
    unknown = {name: each for name, each in linted.items() if isinstance(each, str)}
    if len(unknown) == len(linted):
        raise InvalidRequest(
            "; ".join(f"{name} cannot be checked: {why}" for name, why in unknown.items())
            or f"{options.what} has neither a blueprint nor a pipeline",
            remedy="build it, or ask for a dry run: both check what comes out of a parent",
        )
    for name, why in unknown.items():
        print(f"note: {name} is not checked: {why}; build it, or ask for a dry run", file=sys.stderr)
    blueprints = {name: each for name, each in linted.items() if isinstance(each, Blueprint)}
    findings = {name: lint(blueprint, options.iod) for name, blueprint in blueprints.items()}
    if options.json:
        print(json.dumps({name: [finding.to_json() for finding in each] for name, each in findings.items()}, indent=2))
    else:
        for name, each in findings.items():
            print(f"{name}: {len(each) or 'no'} finding{'' if len(each) == 1 else 's'}")
            for finding in each:
                print(f"  {finding.severity.value.lower()}: {finding}")
    return int(any(errors(each) for each in findings.values()))


def _linted(what: str, library: Library) -> dict[str, Blueprint | str]:
    """The blueprints of a file and its pipelines, or of a name in the library; or the reason why one is missing."""
    if Path(what).suffix != ".py":
        if what in library.pipelines and what not in library.blueprints:
            return blueprints_without_parent(library, library.pipelines[what])
        return {what: library.blueprint(what).blueprint}
    _, of_file = _loaded(what)
    whole = replace(library, blueprints={**library.blueprints, **of_file.blueprints})
    blueprints: dict[str, Blueprint | str] = {**of_file.plain_blueprints()}
    for named in of_file.pipelines.values():
        blueprints |= blueprints_without_parent(whole, named)
    return blueprints


def _list(options: argparse.Namespace, library: Library) -> int:
    for title, things in (("blueprints", library.blueprints), ("pipelines", library.pipelines)):
        print(f"{title}:")
        for name, thing in sorted(things.items()):
            print(f"  {name:<24} {thing.description}")  # type: ignore[attr-defined]
    print("factories:\n  " + ", ".join(sorted(library.factories)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
