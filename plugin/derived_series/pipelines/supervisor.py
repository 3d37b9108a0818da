"""Runs one command for a pipeline, and ends all processes that it started, whatever happens to the pipeline's process.

``supervised`` starts this script, which uses the standard library only, as a process of its own. If the worker is
killed, it lives long enough to end the command and to remove the command's folder. All descendants of the command are
its children (PR_SET_CHILD_SUBREAPER), even those in a session of their own.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

#: Seconds between asking a command to end and killing it, and seconds that a cleanup command may take.
_GRACE, _CLEANING = 2.0, 60.0


def main() -> int:
    """Run the command in one line of JSON on standard input; end it when the input ends, or at SIGTERM.

    systemd, which stops a service, sends SIGTERM to all its processes, and a container is none of them.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with open(0, "rb", buffering=0, closefd=False) as asked:  # unbuffered, as its end is awaited below
        task = json.loads(asked.readline())
    lost = False
    try:
        status, lost = _run(task, libc, woken)
    finally:
        for command in task["cleanup"]:
            _clean_up(command)
        _end_descendants()
        if lost:
            for command in task["cleanup"]:  # a container may have been in the making at the first removal
                _clean_up(command)
            for folder in task["remove"]:
                shutil.rmtree(folder, ignore_errors=True)
    with os.fdopen(task["status"], "w") as answer:
        try:
            json.dump(status, answer)
            answer.flush()
        except OSError:  # nobody reads it any more
            os._exit(0)
    return 0


def _run(task: dict[str, Any], libc: ctypes.CDLL, woken: int) -> tuple[dict[str, Any], bool]:
    """The exit status, or why the command cannot be started; and whether it was to end before.

    :param woken: a pipe with the numbers of the signals that have come.
    """

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if task["unbounded"]:
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))

    try:
        child = subprocess.Popen(
            task["command"],
            cwd=task["folder"],
            env=task["env"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=prepare,  # this process has a single thread
        )
    except OSError as error:
        return {"Error": f"{type(error).__name__}: {error}"}, False
    finally:
        os.close(1)  # the command's output ends with the command, not with this process
    end = None if task["seconds"] is None else time.monotonic() + task["seconds"]
    while child.poll() is None:
        left = None if end is None else max(0.0, end - time.monotonic())
        ready, _, _ = select.select([0, woken], [], [], left)
        if left == 0.0:
            _ask(child)
            return {"Status": None, "Late": True}, False
        if _is_to_end(ready, woken):
            _ask(child)
            return {"Status": None}, True
    if _is_to_end(select.select([0, woken], [], [], 0)[0], woken):  # the command may have had the signal too
        return {"Status": None}, True
    return {"Status": child.returncode}, False


def _is_to_end(ready: list[int], woken: int) -> bool:
    """Whether SIGTERM has come, or the end of the worker. :param ready: what can be read of it and the input."""
    is_asked = woken in ready and signal.SIGTERM in os.read(woken, 4096)
    return is_asked or (0 in ready and not os.read(0, 4096))


def _ask(child: subprocess.Popen[bytes]) -> None:
    """Ask the command's process group to end, and give it a moment."""
    try:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(_GRACE)
    except (subprocess.TimeoutExpired, ProcessLookupError):
        pass


def _end_descendants() -> None:
    """Kill and reap until no process is left: the children of each become children of this process when it is gone."""
    end = time.monotonic() + _CLEANING
    while (children := _children()) and time.monotonic() < end:
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for _ in children:
            try:
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    time.sleep(0.01)
            except ChildProcessError:
                break


def _children() -> list[int]:
    """The processes below this one, directly or not; a zombie needs only to be reaped."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text("utf-8", "replace")
        except OSError:
            continue  # it ended meanwhile
        parents[int(stat.parent.name)] = int(text.rpartition(")")[2].split()[1])
    below, more = {os.getpid()}, True
    while more:
        added = {pid for pid, parent in parents.items() if parent in below} - below
        below |= added
        more = bool(added)
    return sorted(below - {os.getpid()})


def _clean_up(command: list[str]) -> None:
    """Run the commands that remove a container; their output is dropped, as no user needs it."""
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_CLEANING,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        pass


if __name__ == "__main__":
    sys.exit(main())
