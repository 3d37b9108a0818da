"""Runs a command for a pipeline: it ends with the pipeline, and its output is passed on line by line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from derived_series import claim_users
from derived_series.errors import UserCodeError
from derived_series.pipelines import supervisor

#: The most lines of a failed command's output in its error, and characters of one line.
LAST_LINES = 20
_LINE_CHARACTERS = 2000

#: The environment variables for the worker's own Python or Orthanc, which a command does not get.
_OF_OURS = ("PYTHON", "ORTHANC", "DERIVED_SERIES_", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


_MEMORY = "Linux ends so what takes more memory than there is: give it more, or less to do"
_SEE_LINES = "the program has failed: what it printed is in the log, the last lines are in this message"
_SILENT = "the program has failed and printed nothing: run it by hand with the same arguments"
_OF_KILLED = {-signal.SIGKILL: _MEMORY, 128 + signal.SIGKILL: _MEMORY}


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run.

    :param arguments: the program and its arguments; no shell reads them.
    :param folder: its working directory.
    :param env: is added to the worker's environment, without the variables for Orthanc and for our own Python.
    :param remove: folders to remove when the worker ends before the command does.
    :param cleanup: commands to run after it, however it ended.
    :param unbounded: the worker's memory limit does not apply to the command.
    :param seconds: the longest time that it may take; None: as long as its job.
    :param name: its name in errors; by default its program.
    :param remedies: what to do about an exit status, if its program gives that a meaning.
    """

    arguments: Sequence[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    remove: Sequence[Path] = ()
    cleanup: Sequence[Sequence[str]] = ()
    unbounded: bool = False
    seconds: float | None = None
    name: str = ""
    remedies: Mapping[int, str] = field(default_factory=dict)


def run(command: Command, tell: Callable[[str], None]) -> list[str]:
    """Run a command to its end; return the last lines of its output.

    If the worker is killed meanwhile, so are the command and all its descendants.

    :param tell: gets each line of the output at once; a carriage return ends a line too.
    :raises UserCodeError: it cannot be started, takes too long, or its exit status is not 0.
    """
    status, last = _run(command, tell)
    name = command.name or f"the command {Path(command.arguments[0]).name!r}"
    lines = "\n".join(last)
    if "Error" in status:
        raise UserCodeError(
            f"the command {command.arguments[0]!r} cannot be started: {status['Error']}",
            remedy="give its full path, or put its folder on the PATH that Orthanc is started with",
        )
    if status.get("Status") != 0:
        ended = f"was ended after {command.seconds:g} s" if "Late" in status else _described(status.get("Status"))
        heard = f"; its last lines: {lines}" if last else "; it wrote nothing"
        remedies = {} if "Late" in status else {**_OF_KILLED, **command.remedies}
        remedy = remedies.get(_number(status.get("Status")), _SEE_LINES if last else _SILENT)
        raise UserCodeError(f"{name} {ended}{heard}", remedy=remedy, details=lines or None)
    return last


def _number(status: object) -> int:
    return status if isinstance(status, int) else 0


def _described(status: object) -> str:
    if not isinstance(status, int):
        return "was ended"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"


def _run(command: Command, tell: Callable[[str], None]) -> tuple[dict[str, object], list[str]]:
    answer, answering = os.pipe()
    task = {
        "command": list(command.arguments),
        "folder": str(command.folder),
        "env": {**inherited(), **command.env},
        "remove": [str(folder) for folder in command.remove],
        "cleanup": [list(each) for each in command.cleanup],
        "unbounded": command.unbounded,
        "seconds": command.seconds,
        "status": answering,
    }
    last: deque[str] = deque(maxlen=LAST_LINES)
    with os.fdopen(answer, "rb") as answer_file:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", supervisor.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[answering, *claim_users.descriptors()],
                start_new_session=True,  # so that it can clean up when the worker's process group is killed
            )
        finally:
            os.close(answering)
        with process:
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps(task).encode() + b"\n")
                process.stdin.flush()
                for line in _lines(process.stdout.fileno()):
                    last.append(line)
                    tell(line)
                status = answer_file.read()
            finally:
                process.stdin.close()  # if tell raised, it ends the command
    return json.loads(status or b"{}"), list(last)


def _lines(output: int) -> Iterator[str]:
    """Whole lines that are not empty; an endless line is cut."""
    rest = b""
    while block := os.read(output, 1 << 16):
        *lines, rest = (rest + block).replace(b"\r", b"\n").split(b"\n")
        rest = rest[:_LINE_CHARACTERS]
        yield from filter(None, map(_text, lines))
    yield from filter(None, [_text(rest)])


def _text(line: bytes) -> str:
    return line[:_LINE_CHARACTERS].decode("utf-8", "backslashreplace").strip()


def inherited() -> dict[str, str]:
    """The worker's environment variables for a program that is not ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_OURS)}
