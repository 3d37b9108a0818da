"""Names say what a thing is, not that somebody found, made or gave it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
FOLDERS = ("plugin", "blueprints", "scripts", "benchmarks", "tests")
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
    files = sorted((REPOSITORY / folder).rglob("*.py"))
    assert files
    assert [
        f"{path.relative_to(REPOSITORY)}:{line}: {name}"
        for path in files
        for line, name in names_of_acts(ast.parse(path.read_text("utf-8")))
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
