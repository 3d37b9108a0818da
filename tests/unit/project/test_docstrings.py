"""The docstrings of public names: all are there, and say shapes, errors and sources."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import derived_series
from derived_series import Blueprint, dicom, errors, pipelines

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = Path(derived_series.__file__).parent
FOLDERS = ("plugin", "blueprints", "scripts", "tests", "benchmarks")
#: Public name -> what it is.
PUBLIC: dict[str, Any] = {
    **{name: getattr(dicom, name) for name in dicom.__all__},
    **{name: getattr(pipelines, name) for name in pipelines.__all__},
}
CLASSES = {name: each for name, each in PUBLIC.items() if inspect.isclass(each)}
BLUEPRINTS = [name for name, each in PUBLIC.items() if isinstance(each, Blueprint)]
#: (slice, row, column) and the like, or what stands for axes.
_SHAPE = re.compile(r"\([a-z]+(, [a-z]+)+\)|4x4|\(4, 3\)|[Uu]nit vector|shape|of every slice|between neighbouring")


def members(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods and properties of a class that the project defines, by name."""
    for name in dir(kind):
        if name.startswith("_"):
            continue
        member = inspect.getattr_static(kind, name)
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        function = getattr(function, "func", function)  # of a cached property
        if inspect.isfunction(function) and function.__module__.startswith("derived_series"):
            yield name, function


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: each for name, each in PUBLIC.items() if inspect.isfunction(each)},
    **{f"{name}.{member}": function for name, kind in CLASSES.items() for member, function in members(kind)},
}


def doc_of(name: str) -> str:
    """The docstring of a public function or member; an override may leave it to the class that it overrides."""
    owner, _, member = name.partition(".")
    return inspect.getdoc(getattr(CLASSES[owner], member) if member else FUNCTIONS[name]) or ""


def test_dir_lists_the_public_names() -> None:
    assert set(dicom.__all__) <= set(dir(derived_series))
    assert "__version__" not in dicom.__all__ and "ParentSeries" in dir(derived_series)


def test_every_public_class_says_what_it_is() -> None:
    silent = [name for name, each in CLASSES.items() if not re.match(r"[^:\s]", each.__doc__ or "")]
    assert CLASSES and silent == [], "begin with one sentence"


def docstrings() -> Iterator[tuple[str, str]]:
    """All docstrings of the repository, as they are written, by place."""
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node, clean=False)
                if text is not None:
                    yield f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'the module')}", text


def test_every_docstring_begins_with_a_sentence() -> None:
    silent = [place for place, text in docstrings() if not re.match(r"[^:\s]", text)]
    assert silent == [], "say what it is or does in the first line, before :param and :raises"


def test_every_public_function_and_member_says_what_it_does() -> None:
    assert sorted(name for name in FUNCTIONS if not doc_of(name).strip()) == [], "give it a docstring"


def test_arrays_say_their_axes() -> None:
    silent = []
    for name, function in FUNCTIONS.items():
        annotations = " ".join(map(str, getattr(function, "__annotations__", {}).values()))
        if "NDArray" in annotations and not _SHAPE.search(doc_of(name)):
            silent.append(name)
    assert silent == [], "its docstring says the axes: (slice, row, column)"


def raised_by(function: Callable[..., Any]) -> set[str]:
    """The errors of the project that a function raises itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    names = {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }
    return {name for name in names if hasattr(errors, name)}


def test_errors_are_named() -> None:
    silent = [f"{name}: {error}" for name, each in FUNCTIONS.items() for error in raised_by(each) - words(doc_of(name))]
    assert sorted(silent) == [], "its docstring says when: `:raises ERROR: when`"


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def documented_attributes(path: Path) -> dict[str, str]:
    """The names of a module that a string below their assignment explains."""
    body = ast.parse(path.read_text("utf-8")).body
    return {
        node.targets[0].id: after.value.value
        for node, after in itertools.pairwise(body)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }


def test_every_ready_blueprint_names_its_source() -> None:
    known: dict[str, str] = {}
    for path in (PACKAGE / "dicom" / "modules").glob("*.py"):
        known |= documented_attributes(path)
    silent = sorted(name for name in BLUEPRINTS if "PS3.3" not in known.get(name, ""))
    assert silent == [], (
        'below its assignment in dicom/modules/ stands a string with its section: """... (PS3.3 C.8.8.3)."""'
    )


def test_every_factory_of_a_kind_names_what_it_takes_and_its_source() -> None:
    base = dicom.ObjectFactory
    of_kinds = [kind for kind in CLASSES.values() if issubclass(kind, base) and kind is not base]
    assert len(of_kinds) > 5
    assert [kind.__name__ for kind in of_kinds if not re.search(r"PS3\.3 A\.\d", kind.__doc__ or "")] == []
    silent = [kind.__name__ for kind in of_kinds if not re.search(_SHAPE.pattern + "|bytes", kind.__doc__ or "")]
    assert silent == [], "its docstring says the axes: (slice, row, column), or that it takes bytes"


def test_the_api_page_has_each_public_name_once() -> None:
    listed = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), flags=re.MULTILINE)
    wanted = [f"derived_series.dicom.{name}" for name in dicom.__all__]
    wanted += [f"derived_series.pipelines.{name}" for name in pipelines.__all__]
    wanted.append("derived_series.errors")
    assert sorted(set(wanted) - set(listed)) == [], "add a line `::: NAME` for it to docs/api.md"
    assert sorted(set(listed) - set(wanted)) == [], "not a public name: delete its line in docs/api.md"
    assert len(listed) == len(set(listed)), "a name stands twice in docs/api.md"
