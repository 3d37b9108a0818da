"""A real dask scheduler and real workers on this machine, started with our commands."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from derived_series.machines.certificates import make_certificates
from orthanc_server import REPOSITORY, free_port

START_SECONDS = 60.0

#: Processes end with the test run.
_DYING = ["setpriv", "--pdeathsig", "KILL"]


class Cluster:
    """Processes that end with the test run. Each writes its own log.

    :param folder: for logs, scratch folders and certificates. :param encrypted: with TLS.
    """

    def __init__(self, folder: Path, *, encrypted: bool = True):
        self.folder = folder
        self.host = "127.0.0.1"
        self.prefix: list[str] = []  # of the command lines
        self.port = free_port()
        self.dashboard = free_port()
        self.certificates = folder / "certificates"
        self.encrypted = encrypted
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if encrypted and not self.certificates.exists():
            make_certificates(self.certificates, ["orthanc", "scheduler", "box"])

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.processes):
            self.kill(name)

    @property
    def address(self) -> str:
        return f"{'tls' if self.encrypted else 'tcp'}://{self.host}:{self.port}"

    def environment(self, **keys: object) -> dict[str, object]:
        """The cluster's settings for Orthanc's configuration."""
        tls = {"Certificates": str(self.certificates / "orthanc")} if self.encrypted else {}
        return {"Scheduler": self.address, **tls, **keys}

    def _tls(self, machine: str) -> list[str]:
        return ["--certificates", str(self.certificates / machine)] if self.encrypted else []

    def start_scheduler(self) -> None:
        """Start the scheduler, and wait until it listens."""
        self.run_scheduler()
        wait_for_port(self.port, self.host)

    def run_scheduler(self) -> None:
        dashboard = ["--dashboard", f"{self.host}:{self.dashboard}"]
        arguments = ["scheduler", "--host", self.host, "--port", str(self.port), *dashboard, *self._tls("scheduler")]
        self.run("scheduler", arguments)

    def start_worker(self, name: str, *, resources: str = "GPU=1", credentials: str = "worker:of the box") -> None:
        secret = self.folder / f"{name}.credentials"
        secret.write_text(credentials + "\n")
        secret.chmod(0o600)
        arguments = ["worker", self.address, "--name", name, "--port", "0", "--scratch", str(self.scratch(name))]
        if resources:
            arguments += ["--resources", resources]
        self.run(name, [*arguments, "--credentials", str(secret), *self._tls("box")])

    def scratch(self, name: str) -> Path:
        return self.folder / f"scratch-{name}"

    def run(self, name: str, arguments: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        """Run one of our commands."""
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "plugin"), **(variables or {})}
        with self.log_file(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*_DYING, *self.prefix, sys.executable, "-m", "derived_series", *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log_file(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def logs(self) -> str:
        """All output of the scheduler and the workers."""
        return "".join(path.read_text("utf-8", "replace") for path in sorted(self.folder.glob("*.log")))

    def pid(self, name: str) -> int:
        return self.processes[name].pid

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process with dask, not to its children."""
        self.processes[name].send_signal(number)

    def stop(self, name: str) -> None:
        """End a process in an orderly way."""
        self.processes[name].terminate()
        self.processes.pop(name).wait(30)

    def kill(self, name: str) -> None:
        """Kill a process, as in a crash."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(10)


def wait_for_port(port: int, host: str) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            with socket.create_connection((host, port), timeout=1):
                return
        except OSError:
            assert time.monotonic() < end, f"nothing listens at {port}"
            time.sleep(0.05)


def children(pid: int) -> list[int]:
    """The living descendants of a process."""
    living: list[int] = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = each.read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            child = int(each.parent.name)
            living += [child, *children(child)]
    return living
