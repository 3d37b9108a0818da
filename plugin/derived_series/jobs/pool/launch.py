"""Starts the processes of workers from any Python that has this package, and hears from each what it runs.

The two ends of a worker know of each other only what goes over the connection: a greeting with the versions, then
pickled tasks and answers. So a worker may run another Python, with other versions of numpy, than the server.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

from derived_series.errors import UserCodeError
from derived_series.software import version

#: What a message begins with that greets, and one that tells of a pipeline that was prepared.
HELLO, PREPARED = "hello", "prepared"

#: Of our environment what says how our own Python runs.
_OF_OUR_PYTHON = ("PYTHON", "VIRTUAL_ENV")

#: Runs before the package is there: a Python that lacks it can say so.
_BOOT = """
import json, pickle, platform, sys
from multiprocessing.connection import Connection
pipe, life, ending, path, module = json.loads(sys.argv[1])
if path is not None:
    sys.path[:] = path
try:
    from importlib import import_module
    main = import_module(module).main
except Exception as error:
    hello = {"Error": type(error).__name__ + ": " + str(error), "Python": platform.python_version()}
    Connection(pipe).send_bytes(pickle.dumps(("hello", hello)))
    sys.exit(1)
main(pipe, life, ending, greets=path is None)
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that workers run.

    :param path: its ``sys.path``; None leaves it the one that it has.
    :param name: of the environment in the configuration; empty for Orthanc's own.
    """

    executable: Path
    path: tuple[str, ...] | None = None
    name: str = ""

    @classmethod
    def ours(cls, executable: Path | None = None) -> Interpreter:
        """The one that runs here, or one like it (inside Orthanc ``sys.executable`` is none), with the same path."""
        path = tuple(each or os.getcwd() for each in sys.path)
        return cls(executable or Path(sys.executable), path)

    def variables(self, added: Mapping[str, str]) -> dict[str, str]:
        """The variables of the environment that it is started with: those here, and what is added."""
        variables = {**os.environ, **added}
        if self.path is not None:
            return variables
        return {name: value for name, value in variables.items() if not name.startswith(_OF_OUR_PYTHON)}

    @property
    def described(self) -> str:
        return f"the environment {self.name!r} ({self.executable})" if self.name else str(self.executable)


@dataclass(frozen=True, slots=True)
class Launched:
    """A process, its connection and the pipe that ends it when we are gone.

    :param sentinel: can be read as soon as the process has ended.
    """

    process: subprocess.Popen[bytes]
    pipe: Connection
    sentinel: int
    life: int = field(repr=False)

    def close(self) -> None:
        """Let go of a process that has ended."""
        self.pipe.close()
        os.close(self.sentinel)
        os.close(self.life)


def launch(
    interpreter: Interpreter, variables: Mapping[str, str], *, module: str = "derived_series.jobs.pool.process"
) -> Launched:
    """Start a process, as the leader of a group of its own. :raises OSError: no memory, no process, no such Python.

    :param variables: of the environment, in addition. :param module: the one whose ``main`` is run.
    """
    ours, theirs = socket.socketpair()
    life, lasting = os.pipe()
    ended, ending = os.pipe()
    boot_arguments = json.dumps([theirs.fileno(), life, ending, interpreter.path, module])
    try:
        process = subprocess.Popen(
            [str(interpreter.executable), "-P", "-c", _BOOT, boot_arguments],
            stdin=subprocess.DEVNULL,
            env=interpreter.variables(variables),
            pass_fds=[theirs.fileno(), life, ending],
            process_group=0,
        )
    except OSError:
        ours.close()
        os.close(lasting)
        os.close(ended)
        raise
    finally:
        theirs.close()
        os.close(life)
        os.close(ending)
    return Launched(process, Connection(ours.detach()), ended, lasting)


@cache
def digest() -> str:
    """Of the sources of this package."""
    folder = Path(__file__).resolve().parents[2]
    whole = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        whole.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return whole.hexdigest()


def greeting() -> dict[str, str]:
    """What runs here."""
    return {
        "Version": version(),
        "Python": platform.python_version(),
        "Digest": digest(),
        "Executable": sys.executable,
    }


def greet(pipe: Connection) -> None:
    """Say what runs at this end."""
    pipe.send_bytes(pickle.dumps((HELLO, greeting())))


def check_greeting(hello: Mapping[str, str], interpreter: Interpreter) -> None:
    """:raises UserCodeError: another version of this package runs there, or none; it names both and what to do."""
    here = version()
    remedy = (
        f"build the wheel of this version (make wheel) and install it there: {interpreter.executable} -m pip install "
        f"--force-reinstall dist/derived_series_orthanc-{here}-py3-none-any.whl"
    )
    where = f"{interpreter.described} with Python {hello.get('Python')}"
    if "Error" in hello:
        raise UserCodeError(f"{where} cannot run this plugin's workers: {hello['Error']}", remedy=remedy)
    if hello["Version"] != here:
        raise UserCodeError(
            f"{where} has version {hello['Version']} of derived_series, Orthanc has {here}", remedy=remedy
        )
    if hello["Digest"] != digest():
        raise UserCodeError(
            f"{where} has version {here} of derived_series as Orthanc has, but of other sources "
            f"({hello['Digest'][:12]} there, {digest()[:12]} here)",
            remedy=remedy,
        )


def refusal_of(error: OSError, interpreter: Interpreter) -> UserCodeError | None:
    """Why a process cannot be started, when it is the configuration's fault; None when it may pass."""
    if not interpreter.name or not isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
        return None
    return UserCodeError(
        f"{interpreter.described} cannot be started: {error}",
        remedy=f"set Python of the environment {interpreter.name!r} to the program that runs there",
    )
