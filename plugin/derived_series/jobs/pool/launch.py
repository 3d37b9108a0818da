"""Launching worker processes in any Python with this package, and checking what each runs.

The two ends of a worker share only what goes over the connection: a greeting with the versions, then pickled tasks and
answers. So a worker can run another Python, with other versions of numpy, than the server.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import platform
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

from derived_series import claim_users
from derived_series.errors import UserCodeError
from derived_series.software import version

#: The first item of a greeting message, and of a message that a pipeline was prepared.
HELLO, PREPARED = "hello", "prepared"

#: Environment variables that configure our own Python.
_OF_OUR_PYTHON = ("PYTHON", "VIRTUAL_ENV")

#: The code that a worker runs first, so that a Python without the package can say so.
_BOOT = """
import json, pickle, platform, sys
from multiprocessing.connection import Connection
pipe, life, path, module = json.loads(sys.argv[1])
if path is not None:
    sys.path[:] = path
try:
    from importlib import import_module
    main = import_module(module).main
except Exception as error:
    hello = {"Error": type(error).__name__ + ": " + str(error), "Python": platform.python_version()}
    Connection(pipe).send_bytes(pickle.dumps(("hello", hello)))
    sys.exit(1)
main(pipe, life, greets=path is None)
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that workers run.

    :param path: its ``sys.path``; None for its default.
    :param name: the name of its environment in the configuration; empty for Orthanc's own.
    """

    executable: Path
    path: tuple[str, ...] | None = None
    name: str = ""

    @classmethod
    def ours(cls, executable: Path | None = None) -> Interpreter:
        """The Python that runs here, or ``executable`` (Orthanc sets no ``sys.executable``), with the same path."""
        path = tuple(each or os.getcwd() for each in sys.path)
        return cls(executable or Path(sys.executable), path)

    def variables(self, added: Mapping[str, str]) -> dict[str, str]:
        """The environment variables to start it with: ours and those that are added."""
        variables = {**os.environ, **added}
        if self.path is not None:
            return variables
        return {name: value for name, value in variables.items() if not name.startswith(_OF_OUR_PYTHON)}

    @property
    def described(self) -> str:
        return f"the environment {self.name!r} ({self.executable})" if self.name else str(self.executable)


@dataclass(frozen=True, slots=True)
class Launched:
    """A process, its connection, and the pipe that ends it when we are gone.

    :param sentinel: a file descriptor that is readable once the process has ended, even if processes live on that it
        has forked, which hold copies of all its files.
    :param users: one that is readable once no program uses any more what the process has claimed; see ``claim_users``.
    """

    process: subprocess.Popen[bytes]
    pipe: Connection
    sentinel: int
    users: int
    life: int = field(repr=False)

    def close(self) -> None:
        """Release the connections of a process that has ended."""
        self.pipe.close()
        os.close(self.sentinel)
        os.close(self.users)
        os.close(self.life)


def launch(
    interpreter: Interpreter, variables: Mapping[str, str], *, module: str = "derived_series.jobs.pool.process"
) -> Launched:
    """Start a process as the leader of its own group. :raises OSError: no memory, no process, or no such Python.

    :param variables: additional environment variables. :param module: the module whose ``main`` is run.
    """
    ours, theirs = socket.socketpair()
    life, lasting = os.pipe()
    users, using = os.pipe()
    boot_arguments = json.dumps([theirs.fileno(), life, interpreter.path, module])
    try:
        process = subprocess.Popen(
            [str(interpreter.executable), "-P", "-c", _BOOT, boot_arguments],
            stdin=subprocess.DEVNULL,
            env={**interpreter.variables(variables), claim_users.VARIABLE: str(using)},
            pass_fds=[theirs.fileno(), life, using],
            process_group=0,
        )
        sentinel = _sentinel_of(process)
    except OSError:
        ours.close()
        os.close(lasting)
        os.close(users)
        raise
    finally:
        theirs.close()
        os.close(life)
        os.close(using)
    return Launched(process, Connection(ours.detach()), sentinel, users, lasting)


def _sentinel_of(process: subprocess.Popen[bytes]) -> int:
    """A file descriptor that is readable once a process has ended; what is left of its group is killed before.

    A thread waits for it: pidfd_open(2) is not in Linux before 5.3. Only a process that has not been reaped keeps its
    group's number, so the thread does not reap it. :raises OSError: there is no thread left, and the process is killed.
    """
    ended, ending = os.pipe()

    def wait() -> None:
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            os.killpg(process.pid, signal.SIGKILL)  # forked processes, whose copies of the connection keep it open
        except (ChildProcessError, ProcessLookupError, PermissionError):  # reaped by another thread
            pass
        finally:
            os.close(ending)

    try:
        threading.Thread(target=wait, name=f"end of {process.pid}", daemon=True).start()
    except RuntimeError as error:
        process.kill()
        process.wait()
        os.close(ended)
        os.close(ending)
        raise OSError(errno.EAGAIN, f"its end cannot be awaited: {error}") from error
    return ended


@cache
def digest() -> str:
    """The digest of this package's sources."""
    folder = Path(__file__).resolve().parents[2]
    whole = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        whole.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return whole.hexdigest()


def greeting() -> dict[str, str]:
    """The versions that run here."""
    return {
        "Version": version(),
        "Python": platform.python_version(),
        "Digest": digest(),
        "Executable": sys.executable,
    }


def greet(pipe: Connection) -> None:
    """Send the greeting of this end."""
    pipe.send_bytes(pickle.dumps((HELLO, greeting())))


def check_greeting(hello: Mapping[str, str], interpreter: Interpreter) -> None:
    """Check a worker's greeting. :raises UserCodeError: it runs another version of this package, or none."""
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
    """The error if a process cannot be started because of the configuration; None if it may be temporary."""
    if not interpreter.name or not isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
        return None
    return UserCodeError(
        f"{interpreter.described} cannot be started: {error}",
        remedy=f"set Python of the environment {interpreter.name!r} to the program that runs there",
    )
