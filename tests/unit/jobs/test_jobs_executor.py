"""The executor: deaths of workers at any moment, cancelling, stopping, and no life after the parent."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, NoReturn

import pytest

from derived_series.errors import Busy, HeaderError, Missing, StorageError
from derived_series.jobs.pool.executor import ProcessExecutor
from derived_series.jobs.pool.worker import WorkerDied

TESTS = Path(__file__).parent


def nothing() -> None:
    pass


def pid() -> int:
    return os.getpid()


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def leave(code: int) -> NoReturn:
    os._exit(code)


def crash() -> NoReturn:
    ctypes.string_at(0)
    raise AssertionError("unreachable")


def deaf_spin() -> NoReturn:
    """Native code that keeps the GIL: no Python thread or signal handler of the process runs."""
    ctypes.PyDLL(None).sleep(600)
    raise AssertionError("unreachable")


def say(path: str) -> int:
    """Leave the pid in a file, start a child, and hang."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(path).write_text(f"{os.getpid()} {child.pid}")
    deaf_spin()


def killed_with_a_forked_child() -> NoReturn:
    if os.fork() == 0:
        time.sleep(600)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def killed_with_a_pool() -> NoReturn:
    pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
    list(pool.map(abs, range(4)))
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel's out-of-memory killer does
    raise AssertionError("unreachable")


def killed_while_it_answers() -> NoReturn:
    """Send the beginning of an answer, which a forked child keeps from ending."""
    if os.fork() == 0:
        time.sleep(600)
    pipe = json.loads(sys.argv[1])[0]
    os.write(pipe, (1000).to_bytes(4, "big") + b"the beginning")  # multiprocessing.connection's format
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def fail(error: BaseException) -> NoReturn:
    raise error


def state() -> tuple[Any, ...]:
    """What user code may change in its process, but for what it prepares for its next job."""
    umask = os.umask(0o077)
    os.umask(umask)
    signals = (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGIO)
    handlers = [signal.getsignal(each) for each in signals]
    return os.getcwd(), umask, handlers, signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getitimer(0), os.getpid()


def change_state() -> NoReturn:
    """Leave the process in a folder that is removed, with an alarm to come, and more."""
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)
    os.umask(0o777)
    for each in (signal.SIGALRM, signal.SIGTERM, signal.SIGIO):
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO, signal.SIGTERM])
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    raise ValueError("it fails before it puts anything back")


class Unreadable(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, one: int, two: int):
        super().__init__("only one argument")


def fail_unreadably() -> NoReturn:
    raise Unreadable(1, 2)


def unpicklable() -> Any:
    return lambda: None


def alive(number: int) -> bool:
    try:
        text = Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    processes = ProcessExecutor(2, initializer=nothing)
    yield processes
    processes.shutdown()


def test_it_is_an_executor(executor: Executor) -> None:
    assert executor.submit(nap, 0.01).result(20) == 0.01
    assert list(executor.map(abs, [-1, -2, 3])) == [1, 2, 3]
    assert executor.submit(int, "ff", base=16).result(20) == 255


def test_a_task_finds_the_process_as_the_first_one_did() -> None:
    """Where an alarm of the task before would kill it, and a removed working folder make it fail."""
    executor = ProcessExecutor(1, initializer=nothing)
    try:
        before = executor.submit(state).result(20)
        assert executor.submit(nap, 0.0).result(20) == 0.0
        with pytest.raises(ValueError, match="before it puts anything back"):
            executor.submit(change_state).result(20)
        assert executor.submit(nap, 0.8).result(20) == 0.8
        assert executor.submit(state).result(20) == before
    finally:
        executor.shutdown()


def test_a_warm_worker_is_used_again(executor: ProcessExecutor) -> None:
    assert len({executor.submit(pid).result(20) for _ in range(20)}) <= 2


@pytest.mark.parametrize(
    ("function", "args", "code"),
    [
        (leave, (0,), 0),
        (leave, (3,), 3),
        (crash, (), -signal.SIGSEGV),
        (os.abort, (), -signal.SIGABRT),
    ],
)
@pytest.mark.slow
def test_a_death_ends_one_task_and_no_other(executor: ProcessExecutor, function: Any, args: Any, code: int) -> None:
    other = executor.submit(nap, 1.0)
    executor.submit(nap, 0.01).result(20)
    started = time.monotonic()
    with pytest.raises(WorkerDied) as caught:
        executor.submit(function, *args).result(20)
    assert caught.value.exit_code == code
    assert time.monotonic() - started < 1.0, "noticed at once, not after a time-out"
    assert other.result(20) == 1.0
    assert executor.submit(nap, 0.01).result(20) == 0.01


@pytest.mark.parametrize("work", [killed_with_a_forked_child, killed_with_a_pool, killed_while_it_answers])
def test_a_death_is_noticed_although_forked_processes_live(executor: ProcessExecutor, work: Any) -> None:
    """They have copies of all files of the worker, so none of its pipes closes; they end with it."""
    error = executor.submit(work).exception(20)
    assert isinstance(error, WorkerDied) and error.is_from_outside
    assert executor.submit(nap, 0.01).result(20) == 0.01


@pytest.mark.slow
def test_a_kill_while_idle_is_not_seen_by_the_next_task(executor: ProcessExecutor) -> None:
    for _ in range(5):
        victim = executor.submit(pid).result(20)
        os.kill(victim, signal.SIGKILL)
        os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)  # on a busy machine the kernel takes a while to end it
        assert executor.submit(nap, 0.0).result(20) == 0.0


@pytest.mark.slow
def test_cancelling_a_running_task_has_ended_it_when_it_returns(executor: ProcessExecutor) -> None:
    victim = executor.submit(pid).result(20)
    futures = [executor.submit(deaf_spin), executor.submit(deaf_spin)]
    waiting = executor.submit(nap, 0.0)
    time.sleep(0.3)
    started = time.monotonic()
    assert futures[0].cancel() and futures[1].cancel()
    assert time.monotonic() - started < 2
    assert not alive(victim)
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(0)
    assert waiting.result(20) == 0.0


@pytest.mark.slow
def test_cancelling_a_waiting_task(executor: ProcessExecutor) -> None:
    running = [executor.submit(nap, 0.5) for _ in range(2)]
    waiting = executor.submit(nap, 99.0)
    assert waiting.cancel() and waiting.cancelled()
    assert [future.result(20) for future in running] == [0.5, 0.5]
    assert executor.submit(nap, 0.0).result(20) == 0.0


def test_errors_cross_with_their_fields(executor: ProcessExecutor) -> None:
    sent = StorageError("no", remedy="wait", details="x", transient=True)
    with pytest.raises(StorageError) as caught:
        executor.submit(fail, sent).result(20)
    assert caught.value.__dict__ == sent.__dict__ and str(caught.value) == str(sent)
    header = HeaderError([Missing(0x00100010, "PatientName", "not in the parent")])
    with pytest.raises(HeaderError) as raised:
        executor.submit(fail, header).result(20)
    assert raised.value.missing == header.missing


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.slow
def test_exits_of_user_code_are_its_errors(executor: ProcessExecutor, error: BaseException) -> None:
    with pytest.raises(type(error)):
        executor.submit(fail, error).result(20)


def test_what_cannot_be_sent_is_an_error_and_does_not_hang(executor: ProcessExecutor) -> None:
    for function in (unpicklable, fail_unreadably):
        with pytest.raises(RuntimeError, match="cannot be sent"):
            executor.submit(function).result(20)
    with pytest.raises(Exception, match="pickle|local object"):  # from Python 3.14 on it names the object
        executor.submit(lambda: 1)


@pytest.mark.slow
def test_shutdown_is_quick_with_deaf_tasks_running_and_others_waiting() -> None:
    executor = ProcessExecutor(2, initializer=nothing)
    victims = {executor.submit(pid).result(20) for _ in range(10)}
    futures: list[Future[Any]] = [executor.submit(deaf_spin) for _ in range(5)]
    time.sleep(0.5)
    started = time.monotonic()
    executor.shutdown()
    assert time.monotonic() - started < 3
    done, not_done = wait(futures, 1)
    assert not not_done
    assert all(future.cancelled() or isinstance(future.exception(), CancelledError) for future in done)
    assert not any(map(alive, victims))
    with pytest.raises(Busy):
        executor.submit(pid)


@pytest.mark.slow
def test_many_threads_and_many_kills() -> None:
    """200 tasks from 8 threads, workers killed all the while: every future is resolved, none is lost."""
    executor = ProcessExecutor(2, initializer=nothing)
    results: list[str] = []
    stop = threading.Event()

    def submit() -> None:
        for _ in range(25):
            try:
                executor.submit(nap, 0.01).result(60)
                results.append("done")
            except WorkerDied as death:
                results.append(str(death.exit_code))

    def kill() -> None:
        while not stop.wait(0.15):
            try:
                os.kill(executor.submit(pid).result(60), signal.SIGKILL)
            except (WorkerDied, ProcessLookupError):
                pass

    threads = [threading.Thread(target=submit) for _ in range(8)]
    killer = threading.Thread(target=kill)
    for thread in [*threads, killer]:
        thread.start()
    for thread in threads:
        thread.join(120)
    stop.set()
    killer.join(60)
    executor.shutdown()
    assert len(results) == 200
    assert set(results) <= {"done", "-9"}
    assert results.count("done") > 100


@pytest.mark.slow
def test_no_child_outlives_a_killed_parent(tmp_path: Path) -> None:
    """Even one whose native code holds the GIL, nor what it has started."""
    script = (
        "import sys, pathlib; sys.path[:0] = sys.argv[2:]\n"
        "import test_jobs_executor as t\n"
        "if __name__ == '__main__':\n"
        "    e = t.ProcessExecutor(2, initializer=t.nothing)\n"
        "    e.submit(t.say, sys.argv[1]); print(*[e.submit(t.pid).result() for _ in range(5)], flush=True)\n"
        "    t.nap(600)\n"
    )
    (tmp_path / "main.py").write_text(script)
    pid_file = tmp_path / "pids"
    arguments = [sys.executable, str(tmp_path / "main.py"), str(pid_file), *sys.path]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = {int(number) for number in parent.stdout.readline().split()}
        end = time.monotonic() + 20
        while not (pid_file.exists() and pid_file.read_text().count(" ")) and time.monotonic() < end:
            time.sleep(0.05)
        children |= {int(number) for number in pid_file.read_text().split()}
        assert len(children) >= 3 and all(map(alive, children))
        parent.kill()
    end = time.monotonic() + 20
    while any(map(alive, children)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not [child for child in children if alive(child)]
