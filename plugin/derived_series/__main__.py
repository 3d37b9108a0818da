"""``derived-series`` (or ``python -m derived_series``): build, explain, lint and list without a server; install and
doctor for one's own Orthanc; worker, scheduler and certificates for other machines."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
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
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.selection import Part, Plane, Selection
from derived_series.dicom.validation import IODS, errors, lint
from derived_series.errors import Choice, DerivedSeriesError, InvalidImage, InvalidRequest
from derived_series.installation.commands import COMMANDS, add_commands
from derived_series.installation.places import ready_blueprints
from derived_series.kinds import readable_suffixes, reader_of
from derived_series.machines import machine_commands as machines
from derived_series.pipelines.gate import Validation
from derived_series.pipelines.library import Library
from derived_series.pipelines.run import Options, extra_blueprint, run_blueprint, run_pipeline
from derived_series.transfer_syntaxes import WRITTEN

#: The blueprints that come with the package; when they are not there --blueprints must name others.
DEFAULT_FOLDER = ready_blueprints()

#: How the choices that errors speak of are made here.
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
    """The exit code: 0, 1 when ``lint`` finds errors, or 2 with one line on stderr when the input is bad."""
    options = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    try:
        if (command_of_machines := {**COMMANDS, **machines.COMMANDS}.get(options.command)) is not None:
            return command_of_machines(options)
        library = Library.load(options.blueprints or [DEFAULT_FOLDER])
        for problem in library.problems:
            print(f"warning: {problem.file.name}: {problem.message}", file=sys.stderr)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="derived-series", description=__doc__)
    parser.add_argument("--blueprints", action="append", metavar="DIR", help="folder of blueprints (may be repeated)")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build a derived series into a folder")
    build.add_argument("parent", metavar="PARENT_DIR")
    build.add_argument("out", metavar="OUT_DIR", help="a folder that is not there yet, or is empty")
    _what(build)
    build.add_argument("--image", metavar="FILE", help=f"{readable_suffixes()}; without it the parent's own values")
    build.add_argument("--pipeline", help="a pipeline instead of blueprint and image")
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
    lint.add_argument("what", metavar="FILE_OR_NAME", help="a file of blueprints and pipelines, or a blueprint's name")
    lint.add_argument("--iod", metavar="IOD", help=f"{', '.join(IODS)}; by default that of the SOPClassUID")
    lint.add_argument("--json", action="store_true", help="the findings as JSON")
    commands.add_parser("list", help="list blueprints, pipelines and factories")
    add_commands(commands)
    machines.add_commands(commands)
    return parser


def _joined(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``--option=value`` where a value begins with a minus, which argparse takes for an option."""
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
    parser.add_argument("--blueprint", metavar="NAME")
    parser.add_argument("--orientation", metavar="PLANE", help="of several: Axial, Sagittal, Coronal, or six cosines")
    parser.add_argument("--part", choices=get_args(Part), help="of complex images")
    parser.add_argument("--filling", choices=[s.value for s in FillingStrategy], help="for tags that it does not name")


def _selection(options: argparse.Namespace) -> Selection:
    """``--orientation`` is a plane or six numbers with commas."""
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


def _series(asked: argparse.Namespace, library: Library) -> Series:
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
        return run_pipeline(library, asked.pipeline, {"parent": parent}, parameters, options, context)
    if not asked.blueprint:
        raise InvalidRequest("name a --blueprint or a --pipeline", remedy="derived-series list shows them")
    image = Path(asked.image) if asked.image else None
    if image is not None and not image.is_file():
        raise InvalidImage(f"{image} is not a file")
    factory = "numpy" if image is None else reader_of(image.name)
    return run_blueprint(library, asked.blueprint, factory, parent, image, options, context)


def _pictured(options: Sequence[str]) -> dict[str, Any]:
    """The values of ``--picture`` are numbers, ``true`` and ``false``. :raises InvalidRequest: others."""
    pairs = _pairs(options, "--picture")
    try:
        return {name: json.loads(value) for name, value in pairs.items()}
    except ValueError as error:
        raise InvalidRequest(f"--picture {' '.join(options)}: {error}", remedy="write note=true, fill=0.4") from error


def _resampling(options: argparse.Namespace) -> Resampling | None:
    if options.grid == "parent":
        return Resampling(options.interpolation and options.interpolation.capitalize(), options.outside)
    if options.interpolation or options.outside is not None:
        raise InvalidRequest("--interpolation and --outside tell how to resample: add --grid parent")
    return None


def _build(options: argparse.Namespace, library: Library) -> int:
    out = Path(options.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidRequest(f"{out} is there already and not empty", remedy="name another folder")
    series = _series(options, library)
    there = next(folder for folder in out.absolute().parents if folder.is_dir())
    with tempfile.TemporaryDirectory(dir=there, prefix=f".{out.name}.") as folder:
        series_folder = Path(folder) / "series"
        series_folder.mkdir()
        for index in range(len(series)):
            (series_folder / f"{index + 1:05d}.dcm").write_bytes(series.encode(index))
        out.parent.mkdir(parents=True, exist_ok=True)
        series_folder.replace(out)
    for warning in series.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{len(series)} instances of series {series.series_instance_uid} in {out}")
    return 0


def _explain(options: argparse.Namespace, library: Library) -> int:
    if not options.blueprint:
        raise InvalidRequest("name a --blueprint", remedy="derived-series list shows them")
    strategy = FillingStrategy(options.filling or FillingStrategy.DISCARD)
    parent = ParentSeries.from_folder(options.parent, _selection(options))
    print(explain(library.blueprint(options.blueprint).blueprint, parent, strategy))
    return 0


def _lint(options: argparse.Namespace, library: Library) -> int:
    findings = {name: lint(blueprint, options.iod) for name, blueprint in _linted(options.what, library).items()}
    if options.json:
        print(json.dumps({name: [finding.to_json() for finding in each] for name, each in findings.items()}, indent=2))
    else:
        for name, each in findings.items():
            print(f"{name}: {len(each) or 'no'} finding{'' if len(each) == 1 else 's'}")
            for finding in each:
                print(f"  {finding.severity.value.lower()}: {finding}")
    return int(any(errors(each) for each in findings.values()))


def _linted(what: str, library: Library) -> dict[str, Blueprint]:
    """The blueprints of a file, those of its pipelines among them; or one of the library by its name."""
    path = Path(what)
    if path.suffix != ".py":
        return {what: library.blueprint(what).blueprint}
    library_of_file = Library.load([path]) if path.is_file() else None
    if library_of_file is None:
        raise InvalidRequest(f"{what} is not a file", remedy="name a file, or a blueprint of the library")
    for problem in library_of_file.problems:
        raise InvalidRequest(f"{problem.file.name}: {problem.message}")
    blueprints = library_of_file.plain_blueprints()
    for name, named in library_of_file.pipelines.items():
        if named.pipeline.header_blueprint is not None:
            blueprints = {**blueprints, name: named.pipeline.header_blueprint}
    if not blueprints:
        raise InvalidRequest(f"{what} has no blueprint, and no pipeline with a header_blueprint")
    return dict(blueprints)


def _list(options: argparse.Namespace, library: Library) -> int:
    for title, things in (("blueprints", library.blueprints), ("pipelines", library.pipelines)):
        print(f"{title}:")
        for name, thing in sorted(things.items()):
            print(f"  {name:<24} {thing.description}")  # type: ignore[attr-defined]
    print("factories:\n  " + ", ".join(sorted(library.factories)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
