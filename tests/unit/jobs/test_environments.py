"""Workers of another Python: their versions, their claims, what they prepare, and how they end."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import derived_series.jobs.pool.launch as launching
from derived_series.errors import InvalidRequest, UserCodeError
from derived_series.jobs.pool.claims import Claim, Claims
from derived_series.jobs.pool.environments import Environment, Environments, Place
from derived_series.jobs.pool.executor import Keeping, ProcessExecutor
from derived_series.jobs.pool.launch import Interpreter
from derived_series.orthanc.config import Settings
from derived_series.pipelines.supervised import Command, run
from test_jobs_executor import nap, nothing, pid
from waiting import soon

TESTS = Path(__file__).parent
PLUGIN = Path(__file__).resolve().parents[3] / "plugin"
HELPERS = PLUGIN.parent / "tests"


def make_python(folder: Path, *paths: Path) -> Path:
    """A virtual environment that sees the packages of this one after the folders ``paths``; its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    seen = [*map(str, paths), *(path for path in sys.path if "site-packages" in path)]
    (site / "seen.pth").write_text("\n".join(seen))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with this package and a module that is nowhere else."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / "only").mkdir()
    (folder / "only" / "only_there.py").write_text("VALUE = 41\n")
    return make_python(folder / "venv", folder / "only", PLUGIN, TESTS, HELPERS)


def variable(name: str) -> str | None:
    return os.environ.get(name)


def prefix() -> str:
    return sys.prefix


def only_there() -> int:
    import only_there

    return int(only_there.VALUE)


def prepare(name: str) -> int:
    logging.getLogger("derived_series.x").info("x", extra={"prepared": {"Pipeline": name, "Seconds": 1.5}})
    return os.getpid()


@pytest.fixture
def started() -> Iterator[list[Any]]:
    pids: list[Any] = []
    yield pids
    for each in pids:
        each.shutdown()


@pytest.mark.slow
def test_a_worker_of_another_python(python: Path, started: list[Any]) -> None:
    """It has what only that one has, and none of our path; it is started when there is work."""
    executor = ProcessExecutor(
        1, initializer=nothing, interpreter=Interpreter(python, None, "other"), keeping=Keeping(always=False)
    )
    started.append(executor)
    assert executor.processes() == [] and executor.has_place
    assert executor.submit(only_there).result(60) == 41
    assert Path(executor.submit(prefix).result(20)) == python.parent.parent != Path(sys.prefix)
    assert [each["Idle"] for each in executor.processes()] == [True]


@pytest.mark.parametrize(
    ("here", "message"),
    [
        ({"version": lambda: "9.9"}, r"has version 0\.\S+ of derived_series, Orthanc has 9\.9"),
        ({"digest": lambda: "f" * 64}, r"but of other sources \([0-9a-f]{12} there, ffffffffffff here\)"),
    ],
)
@pytest.mark.slow
def test_another_version_of_the_package_is_refused_by_name(
    python: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch, here: dict[str, Any], message: str
) -> None:
    executor = ProcessExecutor(
        1, initializer=nothing, interpreter=Interpreter(python, None, "other"), keeping=Keeping(always=False)
    )
    started.append(executor)
    for name, function in here.items():
        monkeypatch.setattr(launching, name, function)
    for _ in range(2):  # nothing of the refused process answers the next task
        with pytest.raises(UserCodeError, match=message) as caught:
            executor.submit(pid).result(60)
        assert "'other'" in caught.value.message and str(python) in str(caught.value.remedy)
    monkeypatch.undo()
    assert executor.submit(nap, 0.0).result(60) == 0.0


@pytest.mark.slow
def test_a_python_without_the_package_says_what_to_install(tmp_path: Path, started: list[Any]) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = tmp_path / "bare" / "bin" / "python"
    executor = ProcessExecutor(
        1, initializer=nothing, interpreter=Interpreter(python, None, "bare"), keeping=Keeping(always=False)
    )
    started.append(executor)
    with pytest.raises(UserCodeError, match="'bare'.*No module named 'derived_series'.*make wheel") as caught:
        executor.submit(pid).result(60)
    assert "pip install" in str(caught.value)


def test_a_python_that_is_not_there_costs_its_task(tmp_path: Path, started: list[Any]) -> None:
    executor = ProcessExecutor(
        1, initializer=nothing, interpreter=Interpreter(tmp_path / "no", None, "no"), keeping=Keeping(always=False)
    )
    started.append(executor)
    with pytest.raises(UserCodeError, match=r"the environment 'no' .*cannot be started: .*No such file"):
        executor.submit(pid).result(60)


@pytest.mark.slow
def test_the_next_task_goes_to_the_process_that_has_worked_last(started: list[Any]) -> None:
    """What one has loaded is used again, however many others wait."""
    executor = ProcessExecutor(3, initializer=nothing)
    started.append(executor)
    assert len({executor.submit(pid).result(60) for _ in range(20)}) == 1


@pytest.mark.slow
def test_what_is_prepared_is_told_and_let_go_when_idle(started: list[Any]) -> None:
    executor = ProcessExecutor(1, initializer=nothing, keeping=Keeping(idle=0.3))
    started.append(executor)
    plain = executor.submit(pid).result(60)
    time.sleep(0.8)
    assert executor.submit(pid).result(60) == plain, "without anything prepared it stays"
    assert executor.submit(prepare, "net").result(60) == plain
    (process,) = executor.processes()
    (prepared,) = process["Prepared"]
    assert process["Pid"] == plain and prepared == {"Pipeline": "net", "Seconds": 1.5, "Since": prepared["Since"]}
    assert process["Started"] <= prepared["Since"] and process["Job"] is None
    soon(lambda: [each["Pid"] for each in executor.processes()] not in ([], [plain]))
    assert not Path(f"/proc/{plain}").exists()


def environment(name: str, claims: Claims, **place: Any) -> Environment:
    ready = Environment(name, Place(Path(sys.executable), **place), claims, nothing)
    for executor in (ready.executor, ready._describing):
        executor._interpreter = Interpreter.ours()
    return ready


@pytest.mark.slow
def test_two_environments_share_one_gpu_and_never_at_once(started: list[Any]) -> None:
    claims = Claims({"GPU": 1})
    one, two = (environment(name, claims, resources={"GPU": 1}) for name in ("one", "two"))
    started += [one, two]
    running = one.executor.submit(nap, 1.5)
    soon(lambda: bool(one.executor.processes()))
    assert not two.executor.has_place, "its claim is with a process that works"
    waiting = two.executor.submit(nap, 0.0)
    assert running.result(60) == 1.5
    assert waiting.result(60) == 0.0, "the idle process has been ended for it"
    assert one.executor.processes() == [] and len(two.executor.processes()) == 1
    assert one.executor.has_place, "it would be had from the idle one"


@pytest.mark.slow
def test_each_process_sees_its_own_gpus_alone(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    claims = Claims({"GPU": 2})
    one, two, none = (environment(n, claims, resources=r) for n, r in (("a", {"GPU": 1}), ("b", {"GPU": 1}), ("c", {})))
    started += [one, two, none]
    seen = [each.executor.submit(variable, "CUDA_VISIBLE_DEVICES").result(60) for each in (one, two, none)]
    assert sorted(seen[:2]) == ["4", "7"] and seen[2] == ""  # type: ignore[type-var]
    assert one.describe(variable, "CUDA_VISIBLE_DEVICES").result(60) == "", "describing needs none"
    assert [process["Resources"]["GPU"] for process in one.executor.processes()] in ([[0]], [[1]])


@pytest.mark.parametrize("visible", ["1", "", "0,-1,1", "3,3"])
def test_more_units_than_are_visible_are_refused(monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    """Two of them would be the same GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(InvalidRequest, match=f"2 units .* CUDA_VISIBLE_DEVICES={visible} of Orthanc shows [01]"):
        Claims({"GPU": 2})
    assert Claims({"FPGA": 2}).are_there({"FPGA": 2})
    assert Claim({"GPU": ()}).variables()["CUDA_VISIBLE_DEVICES"] == ""


def test_claims_are_whole_units() -> None:
    class Busy:
        is_idle = False

        def release(self) -> None:
            raise AssertionError("it works")

    claims = Claims({"GPU": 3})
    first = claims.take({"GPU": 2}, Busy(), lambda: True)
    assert first is not None and first.units == {"GPU": (0, 1)}
    assert claims.are_there({"GPU": 1}) and not claims.are_there({"GPU": 2}) and not claims.are_there({"FPGA": 1})
    second = claims.take({"GPU": 1}, Busy(), lambda: True)
    assert second is not None and second.units == {"GPU": (2,)}
    asked = iter([True, False])
    assert claims.take({"GPU": 1}, Busy(), lambda: next(asked)) is None
    claims.give_back(first)
    assert claims.are_there({"GPU": 2})
    assert Claim({"GPU": (1,), "Licence": (0,)}).variables()["DERIVED_SERIES_LICENCE"] == "0"


@pytest.mark.slow
def test_a_cancelled_task_waits_for_no_claim(started: list[Any]) -> None:
    claims = Claims({"GPU": 1})
    one, two = (environment(name, claims, resources={"GPU": 1}) for name in ("one", "two"))
    started += [one, two]
    running = one.executor.submit(nap, 30.0)
    soon(lambda: bool(one.executor.processes()))
    waiting = two.executor.submit(nap, 0.0)
    time.sleep(0.2)
    assert waiting.cancel() and running.cancel()
    assert two.executor.submit(nap, 0.0).result(60) == 0.0


def run_stubborn_program(folder: str) -> None:
    """Run a program that does not listen to SIGTERM, and has a cleanup that takes its time, as a container's does."""
    script = "trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done"
    cleanup = [["sh", "-c", f"sleep 0.5; touch {folder}/removed"]]
    run(Command(["sh", "-c", script], Path(folder), cleanup=cleanup), print)


def stubborn_program(folder: Path) -> int:
    """Wait until it runs; its process."""
    soon(lambda: (folder / "pid").exists() and bool((folder / "pid").read_text().strip()), seconds=30.0)
    return int((folder / "pid").read_text())


def test_a_gpu_is_another_jobs_when_the_program_that_uses_it_has_ended(started: list[Any], tmp_path: Path) -> None:
    claims = Claims({"GPU": 1})
    one, two = (environment(name, claims, resources={"GPU": 1}) for name in ("one", "two"))
    started += [one, two]
    running = one.executor.submit(run_stubborn_program, str(tmp_path))
    program = Path(f"/proc/{stubborn_program(tmp_path)}")
    assert running.cancel() and program.exists(), "a user waits for the end of the worker alone"
    soon(lambda: two.executor.has_place)
    assert two.executor.submit(is_there, str(program), str(tmp_path / "removed")).result(60) == (False, True)


def is_there(*paths: str) -> tuple[bool, ...]:
    return tuple(Path(each).exists() for each in paths)


def test_shutdown_waits_for_the_programs_of_workers(started: list[Any], tmp_path: Path) -> None:
    """systemd kills what is left of a service when its first process has ended."""
    executor = ProcessExecutor(1, initializer=nothing)
    started.append(executor)
    executor.submit(run_stubborn_program, str(tmp_path))
    program = stubborn_program(tmp_path)
    executor.shutdown()
    assert (tmp_path / "removed").exists() and not Path(f"/proc/{program}").exists()


def test_pipelines_of_environments(started: list[Any]) -> None:
    claims = Claims({})
    environments = Environments({"one": environment("one", claims)})
    started.append(environments)
    assert not environments.is_known and not Environments({}).is_known and Environments().is_known
    environments.assign({"p": "one", "q": "two"})
    assert environments.is_known and environments.ready() == ["p"]
    assert environments.executor_of("p") is environments["one"].executor and environments.executor_of("x") is None
    with pytest.raises(UserCodeError, match="'two' of pipeline 'q' is not in the configuration.*there are: one"):
        environments.executor_of("q")


def test_the_configuration_of_environments() -> None:
    settings = Settings.of(
        {
            "Environments": {
                "torch": {"Python": "/opt/torch/bin/python", "Workers": 1, "MemoryMB": 10, "Resources": {"GPU": 2}},
                "fsl": {"Python": "fsl/bin/python"},
            },
            "Pipelines": {"n": {"Environment": "torch"}, "m": {"MemoryMB": 5}},
            "WorkerMemoryMB": 20,
        }
    )
    assert settings.total_resources == {"GPU": 2} and settings.chosen_environments == {"n": "torch"}
    limits = [settings.memory_limit(*each) for each in (("n", "torch"), ("m", "torch"), ("x", "fsl"), ("x", None))]
    assert limits == [10 << 20, 5 << 20, None, 20 << 20]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"Pipelines": {"n": {"Environment": "torch"}}}, "Environments has no 'torch'; there are: none"),
        ({"Environments": {"t": {"Python": "p", "Resources": {"GPU": 2}}}, "Resources": {"GPU": 1}}, "claims 2 GPU"),
        ({"Environments": {"t": {}}}, "Python"),
        ({"Environments": {"t": {"Python": "p", "Worker": 2}}}, "Worker"),
    ],
)
def test_a_wrong_configuration_is_told(section: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidRequest, ValidationError), match=message):
        Settings.of(section)


@pytest.mark.slow
def test_the_process_of_another_python_ends_with_ours(python: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from derived_series.jobs.pool.executor import Keeping, ProcessExecutor\n"
        "from derived_series.jobs.pool.launch import Interpreter\n"
        "import test_environments as t\n"
        "e = ProcessExecutor(1, initializer=t.nothing, interpreter=Interpreter(Path(sys.argv[1]), None, 'o'),\n"
        "                    keeping=Keeping(always=False))\n"
        "print(e.submit(t.pid).result(60), flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(python), *sys.path], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        child = int(server.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        server.kill()
    soon(lambda: not Path(f"/proc/{child}").exists(), seconds=5.0)
