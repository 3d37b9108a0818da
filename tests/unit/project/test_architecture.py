"""The shape of the house: imports go downwards only, and catch-alls stay at the named boundaries."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from architecture import FILES, MODULES, PACKAGE, PLUGIN, When, imports_in, imports_of

#: Which rooms of the package a room may import from, besides itself. A room is a folder or a file of the package.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {"dicom", "errors"},
    "errors": set(),
    "software": set(),
    "transfer_syntaxes": {"errors"},
    "identifiers": set(),
    "shortening": set(),
    "user_code": {"shortening"},
    "wrong_values": {"shortening"},
    "json_model": set(),
    "loopback": set(),
    "no_answer": set(),
    "claim_users": set(),
    "scheduler_connection": {"no_answer", "errors"},
    "kinds": {"json_model"},
    "dicom": {"kinds", "identifiers", "transfer_syntaxes", "software", "user_code", "shortening", "errors"},
    "dicomweb": {"shortening", "no_answer", "errors"},
    "pipelines": {
        "kinds",
        "identifiers",
        "dicom",
        "transfer_syntaxes",
        "user_code",
        "claim_users",
        "wrong_values",
        "errors",
    },
    "jobs": {
        "json_model",
        "claim_users",
        "kinds",
        "identifiers",
        "review",
        "dicomweb",
        "pipelines",
        "dicom",
        "transfer_syntaxes",
        "software",
        "user_code",
        "shortening",
        "wrong_values",
        "no_answer",
        "scheduler_connection",
        "errors",
    },
    "review": {"dicom", "errors"},
    "orthanc": {
        "json_model",
        "kinds",
        "identifiers",
        "jobs",
        "review",
        "dicomweb",
        "pipelines",
        "dicom",
        "software",
        "user_code",
        "wrong_values",
        "errors",
        "shortening",
        "loopback",
        "scheduler_connection",
    },
    "machines": {"jobs", "loopback", "scheduler_connection", "errors"},
    "installation": {"orthanc", "jobs", "software", "user_code", "loopback", "no_answer", "errors"},
    "dicom_factory": {"pipelines", "dicom", "errors"},
    "__main__": {
        "kinds",
        "installation",
        "machines",
        "dicom_factory",
        "pipelines",
        "dicom",
        "transfer_syntaxes",
        "errors",
    },
}

#: The floors of a package's rooms: a room imports from itself and from lower floors only. Imports inside functions and
#: for type checkers count, and make no circle either.
FLOORS: dict[str, dict[str, int]] = {
    "dicom": {
        "__init__": 12,
        "explanation": 11,
        "factories": 10,
        "validation": 9,
        "objects": 8,
        "preview": 7,
        "series": 6,
        "modules": 5,
        "blueprints": 4,
        "image": 3,
        "source": 2,
        "encoding": 1,
        "grid": 0,
    },
    "jobs": {
        "__init__": 0,
        "hours": 0,
        "plain": 0,
        "remedies": 0,
        "about_job": 0,
        "own_requests": 0,
        "metadata": 0,
        "own_metadata": 0,
        "stored_series": 0,
        "record": 1,
        "messages": 1,
        "requests": 1,
        "pool": 1,
        "destination_states": 2,
        "scratch": 2,
        "queue": 3,  # Orthanc's process, as the rules
        "work": 3,  # a worker's process
        "remote": 3,  # Orthanc's process, the one that speaks to dask, and what both ends say
        "rules": 4,
        "bulk": 4,
        "notices": 4,
        "box": 4,  # a worker of dask, on another machine
    },
}

#: Where everything may be caught, and why there.
MAY_CATCH_EVERYTHING: dict[str, str] = {
    "derived_series/dicom/encoding/read_errors.py": "decoders in Rust raise what is not an Exception when they panic",
    "derived_series/dicom/blueprints/function_elements.py": "a user's function in a blueprint may raise anything",
    "derived_series/pipelines/library.py": "a user's file may raise anything while it is loaded",
    "derived_series/pipelines/user_calls.py": "a user's pipeline may raise anything",
    "derived_series/user_code.py": "an exception of a user's class may raise when it is asked for its text",
    "derived_series/jobs/plain.py": "an object of a user's class may raise when it is asked for its text",
    "derived_series/jobs/pool/relay.py": "a log line of user code may have no text, its pipe no other end",
    "derived_series/jobs/work/catalogue.py": "a user's class may raise anything when it is described",
    "derived_series/jobs/work/fit.py": "a user's input may raise anything when it is asked what it takes",
    "derived_series/jobs/work/log_lines.py": "what user code logs may raise when it is asked for its text",
    "derived_series/jobs/pool/worker.py": "what a worker sends may raise anything while it is read",
    "derived_series/jobs/work/attempt.py": "the boundary of a worker process: a defect of ours fails one job",
    "derived_series/orthanc/bulk_comparisons.py": "an error of one comparison must not stop the runs over many series",
    "derived_series/jobs/remote/bridge.py": "dask may raise anything: it is connected to again",
    "derived_series/jobs/box/threaded.py": "what a thread raises is for who waits for it",
    "derived_series/jobs/remote/remote_environment.py": "a worker may tell anything: who has asked hears of it",
    "derived_series/jobs/queue/runner_thread.py": "the boundary of the runner's thread: without it no job would run",
    "derived_series/jobs/queue/ends.py": "the boundary to a job's record and outcome: it costs that job alone",
    "derived_series/jobs/queue/observation.py": "the boundary to the observer of jobs: it costs no job",
    "derived_series/jobs/notices/messenger.py": "the boundary of a thread: without it a receiver would hear of nothing",
    "derived_series/jobs/queue/postgresql_nodes.py": "the boundary of threads: without them none would lead",
    "derived_series/jobs/queue/leftovers.py": "the boundary of a thread: without it nothing would be removed any more",
    "derived_series/orthanc/triggers.py": "the boundary of the rules' thread: without it no rule would fire any more",
    "derived_series/orthanc/study_watch.py": "an error with one study must not stop the waits for others",
    "derived_series/orthanc/bulk_driver.py": "the boundary of the runs' thread: without it no run would go on any more",
    "derived_series/orthanc/reviews.py": "a verdict that cannot be settled must not hold up the others",
    "derived_series/orthanc/verdict_settling.py": "the boundary of a thread: without it no verdict would be settled",
    "derived_series/orthanc/gateway.py": "a log line costs nothing but itself",
    "derived_series/orthanc/respond.py": "the boundary of callbacks: beyond it is a bare HTTP 500",
    "derived_series/jobs/pool/process.py": "the end of a child process: what its task raised is sent, if it can be",
}

#: Which modules import others of the package inside a function, and why. Anything else is imported at the top.
MAY_DEFER: dict[str, str] = {
    "derived_series.orthanc.job_storage": "psycopg is there only where JobsDatabase needs it",
    "derived_series.jobs.work.entry": "the tasks' libraries are loaded in the worker, not in Orthanc's interpreter",
    "derived_series.installation.checks_of_database": "psycopg need not be there",
    "derived_series.machines.machine_commands": "the packages of the extra need not be there for the other commands",
}


def room_of(module: str) -> str | None:
    """The room of a module of the package; None for a module of another package."""
    first, *rest = module.split(".")
    if first != PACKAGE:
        return None
    return rest[0] if rest else "__init__"


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(PLUGIN)}:{line}"


def test_every_room_has_its_place() -> None:
    rooms = {room_of(name) for name in MODULES} - {None}
    assert rooms - set(MAY_IMPORT) == set(), "give the new room a row in MAY_IMPORT"


def test_imports_go_downwards_only() -> None:
    wrong = []
    for name, path in MODULES.items():
        room = room_of(name)
        for imported in imports_of(path):
            target = room_of(imported.module)
            if room is None or target in (None, room, "__init__"):
                continue
            if target not in MAY_IMPORT[room]:
                wrong.append(f"{where(path, imported.line)} imports {imported.module}")
    assert wrong == [], "a lower room knows nothing of a higher one: move the code down, or pass the value in"


def test_the_table_itself_has_no_cycle() -> None:
    assert find_cycle(MAY_IMPORT) == []


def of_the_package(path: Path, when: When) -> set[str]:
    return {item.module for item in imports_of(path) if item.module in MODULES and item.when is when}


def test_no_import_cycles() -> None:
    """Not even by imports inside functions or for type checkers."""
    assert find_cycle(graph_of(MODULES)) == [], "modules that import each other: move what both need to a third one"


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_of_a_package_import_from_lower_floors(package: str) -> None:
    assert upward_imports(package, modules_of(package)) == [], "FLOORS has the rooms' order: move the code down"


def upward_imports(package: str, modules: dict[str, Path]) -> list[str]:
    """The imports of a package's modules that do not go to a lower floor of it."""
    wrong = []
    for name, path in modules.items():
        room = room_in(package, name)
        for imported in imports_of(path):
            if imported.module not in modules_of(package):
                continue
            target = room_in(package, imported.module)
            if room != target and FLOORS[package][target] >= FLOORS[package][room]:
                wrong.append(f"{name}:{imported.line} imports {imported.module}")
    return wrong


@pytest.mark.parametrize("package", FLOORS)
def test_every_room_of_a_package_has_its_floor(package: str) -> None:
    rooms = {room_in(package, name) for name in modules_of(package)}
    assert rooms == set(FLOORS[package]), "give the new room its floor in FLOORS, delete that of one that is gone"


def graph_of(modules: dict[str, Path]) -> dict[str, set[str]]:
    """For each module the others of these that it imports, whenever that is."""
    return {name: {item.module for item in imports_of(path)} & set(modules) - {name} for name, path in modules.items()}


def modules_of(package: str) -> dict[str, Path]:
    return {name: path for name, path in MODULES.items() if f"{name}.".startswith(f"{PACKAGE}.{package}.")}


def room_in(package: str, module: str) -> str:
    """The room of a package that a module of it is in."""
    rest = module.removeprefix(f"{PACKAGE}.{package}").split(".")
    return rest[1] if len(rest) > 1 else "__init__"


def test_imports_are_at_the_top() -> None:
    deferring = {name for name, path in MODULES.items() if of_the_package(path, When.DEFERRED)}
    assert deferring == set(MAY_DEFER), "import at the top of the file, or name the reason in MAY_DEFER"


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of one cycle in order, or nothing."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for successor in sorted(graph.get(node, ())):
            if cycle := visit(successor, [*path, node]):
                return cycle
        done.add(node)
        return []

    for start in sorted(graph):
        if cycle := visit(start, []):
            return cycle
    return []


def test_only_the_gateway_knows_orthancs_module() -> None:
    """`import orthanc` works in Orthanc's own interpreter alone."""
    wrong = [
        where(path, imported.line)
        for path in FILES
        for imported in imports_of(path)
        if imported.module.split(".")[0] == "orthanc" and path != PLUGIN / PACKAGE / "orthanc" / "gateway.py"
    ]
    assert wrong == [], "ask Orthanc through the Gateway of orthanc/abstract_gateway.py"


def test_no_file_of_odds_and_ends() -> None:
    names = {"utils", "util", "misc"}
    assert [str(path) for path in FILES if path.stem in names] == [], "name the file by its one idea"


def catches_everything(path: Path) -> list[int]:
    """The lines of `except:`, `except Exception`, `except BaseException`, alone or in a tuple."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds):
                lines.append(node.lineno)
    return lines


def test_everything_is_caught_at_the_boundaries_alone() -> None:
    wrong = [
        where(path, line)
        for path in FILES
        for line in catches_everything(path)
        if path.relative_to(PLUGIN).as_posix() not in MAY_CATCH_EVERYTHING
    ]
    assert wrong == [], "catch the errors that you expect, or name the reason in MAY_CATCH_EVERYTHING"


def test_the_boundaries_are_there() -> None:
    """A boundary that catches nothing any more loses its row."""
    stale = [
        name for name in MAY_CATCH_EVERYTHING if not (PLUGIN / name).is_file() or not catches_everything(PLUGIN / name)
    ]
    assert stale == [], "delete these rows of MAY_CATCH_EVERYTHING"


def test_the_checks_see_what_they_look_for(tmp_path: Path) -> None:
    """The checks above pass on good code; that they fail on bad code is shown here."""
    bad = tmp_path / "bad.py"
    bad.write_text("try:\n    pass\nexcept (ValueError, Exception):\n    pass\ntry:\n    pass\nexcept:\n    pass\n")
    assert catches_everything(bad) == [3, 7]
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    here = PLUGIN / PACKAGE / "dicom" / "imagined.py"
    source = (
        "from __future__ import annotations\nfrom .. import errors\nfrom ..orthanc import gateway\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import orthanc\ndef f():\n    import numpy\n"
    )
    imported = {(item.module, item.when) for item in imports_in(ast.parse(source), here, When.LOADING)}
    assert {
        ("derived_series.errors", When.LOADING),
        ("orthanc", When.TYPING),
        ("numpy", When.DEFERRED),
    } <= imported
    assert any(module.startswith("derived_series.orthanc") for module, _ in imported)


UPWARDS = "from derived_series.dicom.series.header import SeriesHeader"


@pytest.mark.parametrize(
    "source",
    [
        UPWARDS,
        f"def f():\n    {UPWARDS}",
        f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {UPWARDS}",
    ],
)
def test_an_import_upwards_is_seen_whenever_it_happens(source: str, tmp_path: Path) -> None:
    bad = tmp_path / "environment.py"
    bad.write_text(source)
    name = "derived_series.dicom.blueprints.environment"
    assert len(upward_imports("dicom", {name: bad})) == 1
    assert name in find_cycle(graph_of({**MODULES, name: bad}))
