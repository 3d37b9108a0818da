"""Names say what a thing is, not that somebody found, made or gave it."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
FOLDERS = ("plugin", "blueprints", "scripts", "benchmarks", "tests")


@cache
def texts(folder: str) -> dict[Path, str]:
    """The files of a folder."""
    return {path: path.read_text("utf-8") for path in sorted((REPOSITORY / folder).rglob("*.py"))}


@cache
def parsed(path: Path, text: str) -> ast.Module:
    return ast.parse(text)


def trees_with(words: set[str], folder: str) -> Iterator[tuple[Path, ast.Module]]:
    """The files of a folder that have one of these words as a name, or beside it in a text; only these are parsed."""
    word = re.compile(rf"\b_*({'|'.join(words)})_*\b")
    return ((path, parsed(path, text)) for path, text in texts(folder).items() if word.search(text))


#: They tell how a value came about and leave open what it is.
ACTS = {"found", "said", "told", "made", "own", "given"}


def names_of_acts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of every function, class, parameter, variable and attribute that is bound to one of these."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                pass
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                pass
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.alias(asname=str(name)):
                pass
            case _:
                continue
        if name.strip("_") in ACTS:
            yield node.lineno, name


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_say_what_a_thing_is(folder: str) -> None:
    assert texts(folder)
    assert [
        f"{path.relative_to(REPOSITORY)}:{line}: {name}"
        for path, tree in trees_with(ACTS, folder)
        for line, name in names_of_acts(tree)
    ] == [], "say what the value is (grid, warnings, dataset)"


@pytest.mark.parametrize(
    "source",
    [
        "found = 1",
        "def made(): ...",
        "class C:\n    own: int",
        "lambda given: 1",
        "self._told = 2",
        "[said for said in x]",
        "with x as made: ...",
        "(found := 1)",
        "match x:\n    case [*found]: ...",
        "import x as given",
    ],
)
def test_every_way_to_bind_a_name_is_seen(source: str) -> None:
    assert [name.strip("_") in ACTS for _, name in names_of_acts(ast.parse(source))] == [True]


#: Alone they leave open what is counted: _LONGEST_CHARACTERS, _PATIENCE_SECONDS.
WITHOUT_UNIT = {
    "LONGEST",
    "SHORTEST",
    "LARGEST",
    "SMALLEST",
    "LARGE",
    "MOST",
    "LEAST",
    "FEWEST",
    "FEW",
    "MANY",
}
WITHOUT_UNIT |= {"ANGLE", "SAME_ANGLE"}
WITHOUT_UNIT |= {
    "PATIENCE",
    "EVERY",
    "PERIOD",
    "PAUSE",
    "TIMEOUT",
    "DAY",
    "PAGE",
    "ROOM",
    "LIMIT",
}


def constants_without_unit(tree: ast.Module) -> list[str]:
    """The constants of a module that are numbers and have a name without a unit."""
    names = [
        (name, value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        for name, value in (
            zip(target.elts, node.value.elts, strict=False)
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            else [(target, node.value)]
        )
    ]
    return [
        name.id
        for name, value in names
        if isinstance(name, ast.Name)
        and isinstance(value, ast.Constant | ast.BinOp)
        and name.id.strip("_") in WITHOUT_UNIT
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_constants_carry_their_unit(folder: str) -> None:
    assert [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path, tree in trees_with(WITHOUT_UNIT, folder)
        for name in constants_without_unit(tree)
    ] == [], "append the unit: _SECONDS, _BYTES, _MM, _CHARACTERS, ..."


def test_constants_without_unit_are_seen() -> None:
    source = "_LONGEST = 16\nLARGE = 8 << 20\n_MOST, LEAST_MM = 64, 16\n_DAY_SECONDS = 86400.0\nMANY = 'x', 'y'\n"
    assert constants_without_unit(ast.parse(source)) == ["_LONGEST", "LARGE", "_MOST"]


PACKAGE = REPOSITORY / "plugin" / "derived_series"
#: A kind of object may have a file of its name in each of these: its declaration, its elements, its builder.
OF_A_KIND = {"kinds", "dicom/modules", "dicom/objects"}
#: Other names of several files, and the one thing that they are about.
OF_SEVERAL_FILES = {
    "bulk": "runs over many series: how they are asked for, and their routes",
    "derive": "the request that derives, and its route",
    "finding": "what a check has found wrong: in a series, in a set-up",
    "library": "the loaded folders of blueprints, and the routes that list them",
    "provenance": "where a series comes from: how it is kept, and its routes",
    "retrieval": "inputs from another server: how they are asked for, and the work",
    "review_page": "what the review page asks for: its routes, and the work",
    "verdict": "accepted or rejected: the request, and its route",
}


def repeated_names(package: Path) -> dict[str, set[str]]:
    """The folders of each file name that occurs more than once, without those of a kind of object."""
    folders: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        folders.setdefault(path.stem, set()).add(path.parent.relative_to(package).as_posix())
    return {
        name: places
        for name, places in folders.items()
        if len(places) > 1 and name not in ("__init__", "base") and not ("kinds" in places and places <= OF_A_KIND)
    }


def test_a_file_name_has_one_meaning() -> None:
    repeated = repeated_names(PACKAGE)
    unexplained = {name: places for name, places in repeated.items() if name not in OF_SEVERAL_FILES}
    assert unexplained == {}, "rename one, or say in OF_SEVERAL_FILES the one thing that they are about"
    assert sorted(set(OF_SEVERAL_FILES) - set(repeated)) == [], "delete these rows of OF_SEVERAL_FILES"


def test_repeated_file_names_are_seen(tmp_path: Path) -> None:
    for name in (
        "kinds/ct",
        "dicom/modules/ct",
        "kinds/mr",
        "orthanc/mr",
        "orthanc/rules",
        "dicom/series/rules",
        "jobs/x",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.py").touch()
    assert repeated_names(tmp_path) == {"mr": {"kinds", "orthanc"}, "rules": {"orthanc", "dicom/series"}}


#: "What is not a volume", not "what is no volume"; "there is no volume" is another matter.
NOT_A = re.compile(r"(?<!there)_(is|are)_no_")


def test_names_of_tests_say_not_a_and_not_no() -> None:
    names = [name for text in texts("tests").values() for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)]
    assert len(names) > 1000
    assert [name for name in names if NOT_A.search(name)] == []
    assert NOT_A.search("test_what_is_no_volume") and not NOT_A.search("test_there_is_no_volume")
