"""Fixtures: a real Orthanc for all tests, or one of its own for a test that configures, stops or kills it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import settings

from browser_fixtures import browser, page  # noqa: F401  # fixtures for all tests
from installed import not_installed
from orthanc_server import OVER_POSTGRESQL, PLUGIN_SCRIPT, OrthancServer, orthanc_program
from quick_loop import mark_left_out
from run_summary import coverage_lines, measured, skip_lines
from shared_data import NO_DATA
from store_places import jobs_address, postgresql, store_place  # noqa: F401  # fixtures for all tests

settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True, max_examples=30)
settings.register_profile("thorough", settings.get_profile("repeatable"), max_examples=300)
settings.register_profile("quick", settings.get_profile("repeatable"), max_examples=4)
settings.load_profile("repeatable")


#: Sections of the summary by properties of the tests' reports, which come from any process of the run.
_SECTIONS = {"report": "what real series became", "table": "what each kind of object becomes of each sort of parent"}


#: Fixtures of tests that need an Orthanc or a browser.
_OF_SERVERS = {"orthanc_installed", "browser"}
#: Fixtures of tests that run containers or a PostgreSQL.
_OF_PROGRAMS = {"images", "jobs_address", "postgresql"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by what they need.

    Tests that need an Orthanc or a browser are marked; those that need series of one's own, a PostgreSQL, containers or
    readers are also slow, as are all but a sample of a matrix. Those marked ``recipe`` need what scripts/recipes.py
    installs, and run only with ``-m recipe``.
    """
    for item in items:
        if any(mark.kwargs.get("reason") == NO_DATA for mark in item.iter_markers("skipif")):
            item.add_marker("slow")
        fixtures = getattr(item, "fixturenames", ())
        if _OF_PROGRAMS.intersection(fixtures) or item.get_closest_marker("readers"):
            item.add_marker("slow")
        if _OF_SERVERS.intersection(fixtures):
            item.add_marker("server")
    mark_left_out(items)
    if "recipe" not in str(config.getoption("markexpr")):
        left_out = [item for item in items if item.get_closest_marker("recipe")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """Run the garbage collector less often, and not over imported objects, which saves a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A function that prints a line at the end of the run, whether tests pass or not."""
    return lambda line: request.node.user_properties.append(("report", line))


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """The same for a line of the table of kinds and parents; lines keep their order."""
    return lambda line: request.node.user_properties.append(("table", line))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates in a test's output, as they would end the process of xdist that sends them."""
    result = yield
    result.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in result.sections]
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the reports of tests, the reasons of skips, and the coverage."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    for section, title in _SECTIONS.items():
        lines = [line for report in reports for name, line in report.user_properties if name == section]
        if lines:
            terminalreporter.write_sep("=", title)
        for line in lines if section == "table" else sorted(lines):
            terminalreporter.write_line(line)
    skipped = terminalreporter.stats.get("skipped", [])
    for line in skip_lines(report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)):
        terminalreporter.write_line(line)
    coverage = measured()
    if coverage is not None:
        terminalreporter.write_sep("=", "coverage")
        for line in coverage_lines(coverage):
            terminalreporter.write_line(line)


class StartOrthanc(Protocol):
    """Starts an Orthanc that is stopped at the end of the test.

    ``changes`` are laid over the configuration (see ``orthanc_server.merged``); ``script`` is the Python plugin.
    Raises ``OrthancFailed`` when it does not start.
    """

    def __call__(self, changes: Mapping[str, Any] | None = None, *, script: Path = ...) -> OrthancServer: ...


@pytest.fixture(scope="session")
def orthanc_installed(request: pytest.FixtureRequest) -> None:
    """Skip if Orthanc is not installed; fail instead if CI=true.

    With ``OVER_POSTGRESQL=1``, all Orthancs that start from now on keep everything in a PostgreSQL.
    """
    if orthanc_program() is None:
        not_installed("Orthanc with its Python and DICOMweb plugins", "run scripts/setup.sh")
    if os.environ.get("OVER_POSTGRESQL"):
        os.environ[OVER_POSTGRESQL] = str(request.getfixturevalue("postgresql").port)


@pytest.fixture(scope="session")
def orthanc(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    """One Orthanc with the plugin for the whole session, which keeps what other tests stored."""
    with OrthancServer(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def empty_orthanc(orthanc: OrthancServer) -> OrthancServer:
    """The session's Orthanc, without patients."""
    orthanc.delete_all()
    return orthanc


@pytest.fixture
def start_orthanc(orthanc_installed: None, tmp_path: Path) -> Iterator[StartOrthanc]:
    """A factory of Orthancs of the test's own, each with an empty storage."""
    servers: list[OrthancServer] = []

    def start(changes: Mapping[str, Any] | None = None, *, script: Path = PLUGIN_SCRIPT) -> OrthancServer:
        folder = tmp_path / f"orthanc-{len(servers) + 1}"
        folder.mkdir()
        server = OrthancServer(folder, changes, script=script)
        servers.append(server)
        return server.start()

    try:
        yield start
    finally:
        for server in servers:
            server.close()
