"""Draws the pictures of ARCHITECTURE.md from the imports: ``python scripts/architecture.py`` rewrites them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "plugin"
PACKAGE = "derived_series"
DOCUMENT = ROOT / "ARCHITECTURE.md"

#: The packages to draw, each as a picture of its rooms: its sub-packages and modules.
DRAWN = (PACKAGE, f"{PACKAGE}.dicom", f"{PACKAGE}.jobs")

FILES = sorted(PLUGIN.rglob("*.py"))

Graph = Mapping[str, set[str]]


class When(Enum):
    """When an import happens."""

    LOADING = "when the module is loaded"
    DEFERRED = "inside a function"
    TYPING = "for type checkers only"


@dataclass(frozen=True, slots=True)
class Import:
    """An imported module, by its full name."""

    module: str
    line: int
    when: When


def name_of(path: Path) -> str:
    """The module's full name."""
    parts = path.relative_to(PLUGIN).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """The imports of a file, including those inside functions and for type checkers."""
    return tuple(imports_in(ast.parse(path.read_text("utf-8")), path, When.LOADING))


def imports_in(node: ast.AST, path: Path, when: When) -> Iterator[Import]:
    """The imports below a node of a file's syntax tree.

    :param when: when the node's own code runs.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, when)
        elif isinstance(child, ast.ImportFrom):
            base = _absolute(child, path)
            for alias in child.names:
                name = f"{base}.{alias.name}"  # a module of a package, or a name of a module
                yield Import(name if name in MODULES else base, child.lineno, when)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from imports_in(ast.Module(child.body, []), path, When.TYPING)
            yield from imports_in(ast.Module(child.orelse, []), path, when)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and when is When.LOADING:
            yield from imports_in(child, path, When.DEFERRED)
        else:
            yield from imports_in(child, path, when)


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    package = list(path.relative_to(PLUGIN).parent.parts)
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


def room_in(package: str, module: str) -> str | None:
    """The room of a package that contains a module: its part below the package; None for the package and for others."""
    if not module.startswith(f"{package}."):
        return None
    return module.removeprefix(f"{package}.").split(".")[0]


def rooms(package: str) -> Graph:
    """The other rooms from which each room of a package imports."""
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        room = room_in(package, module)
        if room is None:
            continue
        targets = {room_in(package, imported.module) for imported in imports_of(path)}
        graph.setdefault(room, set()).update(target for target in targets if target not in (None, room))
    return graph


def reduced(graph: Graph) -> Graph:
    """The graph without the arrows that follow from others. It must have no circle."""
    reach: dict[str, set[str]] = {}

    def reached(node: str) -> set[str]:
        if node not in reach:
            reach[node] = set[str]().union(*({target} | reached(target) for target in graph[node]))
        return reach[node]

    return {
        node: {target for target in targets if not any(target in reached(other) for other in targets - {target})}
        for node, targets in graph.items()
    }


def picture(package: str) -> str:
    """A package's rooms as a Mermaid flowchart: an arrow is an import; those that follow from others are left out."""
    lines = ["```mermaid", "flowchart TD"]
    for room, targets in sorted(reduced(rooms(package)).items()):
        lines += [f"    {room} --> {target}" for target in sorted(targets)] or [f"    {room}"]
    return "\n".join([*lines, "```"])


def marks(package: str) -> tuple[str, str]:
    """The comments around a package's picture in the document."""
    return f"<!-- imports of {package} -->", "<!-- end of imports -->"


def drawn(document: str) -> str:
    """The document with new pictures."""
    for package in DRAWN:
        begin, end = marks(package)
        pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(document):
            raise ValueError(f"{DOCUMENT.name} has no place for the picture of {package}: {begin} ... {end}")
        document = pattern.sub(f"{begin}\n{picture(package)}\n{end}", document)
    return document


if __name__ == "__main__":
    DOCUMENT.write_text(drawn(DOCUMENT.read_text("utf-8")), "utf-8")
