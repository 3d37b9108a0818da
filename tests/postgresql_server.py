"""A real PostgreSQL on a free port, with a folder of its own, which tests can kill and freeze."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orthanc_server import free_port, postgresql_section

_START_SECONDS, _STOP_SECONDS = 30.0, 20.0


def programs() -> Path | None:
    """The folder with ``postgres`` and ``initdb``; None if PostgreSQL is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name.split(".")[0]))
    there = [folder for folder in folders if (folder / "initdb").exists()]
    return there[-1] if there else None


class PostgresqlServer:
    """A server in a temporary folder of its own.

    If tests run as root, the folder belongs to another user, who may not enter pytest's folders, as PostgreSQL does not
    run as root.

    :param data: a folder that ``save`` has made, whose content the server starts with.
    """

    def __init__(self, data: Path | None = None) -> None:
        self._saved = data
        self.folder = Path(tempfile.mkdtemp(prefix="derived-series-postgresql-"))
        self.host = "127.0.0.1"
        self.port = free_port()
        self.prefix: list[str] = []  # of its command line
        self.initdb_options: list[str] = ["--auth=trust"]
        self.settings: dict[str, str] = {}  # more of them
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresqlServer:
        binaries = programs()
        assert binaries is not None
        self._binaries = binaries
        if self._saved is not None:
            shutil.copytree(self._saved, self.folder / "data")
            (self.folder / "data").chmod(0o700)
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                shutil.chown(path, "postgres", "postgres")
        if self._saved is None:
            fixed = ["-D", "data", "-U", "tests", "--no-sync", "-E", "UTF8", "--locale=C"]
            self._run("initdb", *fixed, *self.initdb_options)
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._binaries / program), *arguments]
        if os.geteuid() != 0:
            return command
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]

    def _run(self, program: str, *arguments: str) -> None:
        command = self._command(program, *arguments)
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> PostgresqlServer:
        """Start it, on its former port, and wait until it answers."""
        settings = {
            "port": str(self.port),
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "fsync": "off",  # what survives the end of processes is tested, not that of the machine
            "max_connections": "200",
            "logging_collector": "off",
            **self.settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.prefix, *self._command("postgres", "-D", "data", *options)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        import psycopg

        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.address("postgres"), connect_timeout=2).close()
                return self
            except psycopg.OperationalError:
                assert time.monotonic() < end, (self.folder / "log").read_text("utf-8", "replace")[-2000:]
                time.sleep(0.05)

    def address(self, database: str) -> str:
        return f"postgresql://tests@{self.host}:{self.port}/{database}"

    def new_database(self, name: str) -> str:
        """Make an empty database; return its address."""
        import psycopg

        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.address(name)

    def orthanc(self, database: str) -> dict[str, object]:
        """The section for an Orthanc with its index and its files here."""
        return postgresql_section(self.port, database)

    def processes(self) -> list[int]:
        """The processes of the server and of its sessions."""
        process = self._process
        if process is None or process.poll() is not None:
            return []
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
        return [process.pid, *map(int, children.stdout.split())]

    def save(self, data: Path) -> None:
        """Stop it in an orderly way, and copy its data into a new folder."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(_STOP_SECONDS)
        shutil.copytree(self.folder / "data", data)

    def kill(self) -> None:
        """Kill all its processes at once, as if its machine failed."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(_STOP_SECONDS)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze it: it lives and answers nothing."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
