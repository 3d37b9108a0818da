"""A real Orthanc on a free port, with a storage folder of its own, for one test or one test session."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import requests
from pydicom.dataset import Dataset
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from phantoms import decoded, encode

REPOSITORY = Path(__file__).resolve().parent.parent
PLUGIN_SCRIPT = REPOSITORY / "plugin" / "main.py"
PLUGIN_FOLDER = Path("/usr/share/orthanc/plugins")
#: Orthanc's plugins for its index and its files in PostgreSQL.
INDEX_PLUGINS = [PLUGIN_FOLDER / "libOrthancPostgreSQLIndex.so", PLUGIN_FOLDER / "libOrthancPostgreSQLStorage.so"]
#: The variable with the port of the PostgreSQL that all servers use (make test-postgresql).
OVER_POSTGRESQL = "OVER_POSTGRESQL_PORT"
NEEDED = [PLUGIN_FOLDER / "libOrthancPython.so", PLUGIN_FOLDER / "libOrthancDicomWeb.so"]

START_SECONDS, STOP_SECONDS, ORPHAN_SECONDS = 60.0, 20.0, 5.0
#: The signals that end an Orthanc whose Python plugin (7.1, of Debian sid) frees a static object twice.
_UNLOADING = (-signal.SIGABRT, -signal.SIGSEGV)


class OrthancFailed(Exception):
    """Orthanc ended, or did not answer in time. ``log`` is its whole output; ``returncode`` is None while it lives."""

    def __init__(self, message: str, log: str, returncode: int | None):
        super().__init__(f"{message} (return code {returncode}); the end of its log:\n{log[-4000:]}")
        self.log = log
        self.returncode = returncode


def orthanc_program() -> str | None:
    """The path of Orthanc; None if it, or a needed plugin, is not installed."""
    program = shutil.which("Orthanc", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return program if program and all(path.exists() for path in NEEDED) else None


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it, section by section; a value of None takes the key away."""
    result = copy.deepcopy(dict(base))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class OrthancServer:
    """One Orthanc process and a client for it.

    :param folder: an empty folder: configuration, storage and log go there.
    :param changes: laid over the configuration (see :func:`merged`). With ``AuthenticationEnabled`` and
        ``RegisteredUsers`` the client logs in as the first user.
    :param script: the Python plugin; by default this repository's.

    The client refuses no status: look at ``status_code``, or use :meth:`json`, which raises for errors.
    """

    def __init__(self, folder: Path, changes: Mapping[str, Any] | None = None, *, script: Path = PLUGIN_SCRIPT):
        self.folder = folder
        self.script = script
        self.changes = dict(changes or {})
        self.config: dict[str, Any] = {}
        self.survivors: list[int] = []
        self.prefix: list[str] = []  # of its command line
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy, no .netrc
        self.session.headers["Accept-Encoding"] = "identity"  # compressed answers are slower by far
        # A kept-alive connection that Orthanc closes (after half a second of silence) just as it is used again.
        again = Retry(total=None, connect=0, read=2, redirect=0, status=0, other=0, allowed_methods=["GET"])
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=again))
        self._log_path = folder / "orthanc.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> OrthancServer:
        try:
            return self.start()
        except OrthancFailed:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the process -----------------------------------------------------------------------------------------------

    def start(self) -> OrthancServer:
        """Start it and wait until it answers. If another process has taken the port meanwhile, it gets another."""
        for attempt in range(3):
            already = len(self.log())
            try:
                self._start_once()
                return self
            except OrthancFailed as failure:
                if attempt == 2 or "port" not in failure.log[already:].lower() or "in use" not in failure.log:
                    raise
        raise AssertionError("unreachable")

    def _start_once(self) -> None:
        self.launch()
        self._wait_until_it_answers()

    def launch(self) -> None:
        """Start its process, which answers some time later."""
        program = orthanc_program()
        if program is None:
            raise OrthancFailed("Orthanc, its Python or its DICOMweb plugin is not installed", "", None)
        config = _default_config(self.folder, self.script, free_port())
        if port := os.environ.get(OVER_POSTGRESQL):
            config = merged(config, _over_postgresql(self.folder, int(port), config))
        self.config = merged(config, self.changes)
        users = self.config.get("RegisteredUsers")
        if self.config.get("AuthenticationEnabled") and users:
            self.session.auth = next(iter(users.items()))
        config_path = self.folder / "orthanc.json"
        config_path.write_text(json.dumps(self.config, indent=2))
        command = [*self.prefix, program, str(config_path)]
        if shutil.which("setpriv"):  # so that it ends when the test run is killed
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # its children can be told by their session
            )  # fmt: skip

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.returncode is not None:
                self._end_orphans()
                raise OrthancFailed("Orthanc ended while starting", self.log(), self.returncode)
            try:
                answered = self.session.get(self.url + "/system", timeout=5).status_code in (200, 401, 403)
            except requests.RequestException:
                answered = False
            if answered and _handles(self.pid, signal.SIGTERM):  # it answers a little before it can be ended in order
                return
            time.sleep(0.03)
        failure = OrthancFailed("Orthanc did not answer in time", self.log(), self.returncode)
        self.kill()
        self._end_orphans()
        raise failure

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; if negative, the signal that ended it."""
        return self._process.poll() if self._process else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.config['HttpPort']}"

    @property
    def jobs_folder(self) -> Path:
        """The plugin's own files, if no JobsFolder is configured."""
        section = self.config.get("DerivedSeries", {})
        folder = self.folder / "storage" / "derived-series"
        return folder / section["NodeName"] if "JobsDatabase" in section else folder

    def children(self) -> list[int]:
        """The living processes that this Orthanc started, directly or not."""
        return [pid for pid in _session_members(self.pid) if pid != self.pid]

    def stop(self) -> int:
        """Ask it to end (SIGTERM); kill it after a time limit. Ends its remaining children, which ``survivors`` names.

        :return: its return code: 0 for an orderly end.
        """
        assert self._process is not None, "not started"
        if self.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._end_orphans()
        returncode = self.returncode
        assert returncode is not None
        return 0 if returncode in _UNLOADING and self._was_unloading() else returncode

    def _was_unloading(self) -> bool:
        """Whether everything had ended, and the Python plugin was being unloaded."""
        return bool(re.search(r"Python plugin is finalizing\s*(free\(\): invalid pointer\s*)?$", self.log()))

    def kill(self) -> None:
        """Kill it (SIGKILL), as in a crash, without its children."""
        assert self._process is not None, "not started"
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def restart(self, changes: Mapping[str, Any] | None = None) -> OrthancServer:
        """Stop it (if it runs) and start it on the same storage, optionally with other changes of the configuration."""
        if self.returncode is None:
            self.stop()
        if changes is not None:
            self.changes = dict(changes)
        return self.start()

    def close(self) -> None:
        """Stop it if it was started, and close the connections."""
        if self._process is not None:
            self.stop()
        self.session.close()

    def _end_orphans(self) -> None:
        deadline = time.monotonic() + ORPHAN_SECONDS
        while (alive := self.children()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.survivors = alive
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        while self.children() and time.monotonic() < deadline + STOP_SECONDS:
            time.sleep(0.02)

    def log(self) -> str:
        """All output of Orthanc and the plugin, over all restarts."""
        return self._log_path.read_text("utf-8", "replace") if self._log_path.exists() else ""

    # -- the client ------------------------------------------------------------------------------------------------

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", 120)
        return self.session.request(method, self.url + path, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> requests.Response:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self.request("DELETE", path, **options)

    def json(self, path: str, method: str = "GET", **options: Any) -> Any:
        """The JSON of an answer; raises with the answer's text if its status is an error."""
        answer = self.request(method, path, **options)
        if not answer.ok:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def upload(self, datasets: Iterable[Dataset | bytes]) -> str:
        """Store the instances of one series; return its Orthanc ID (not its SeriesInstanceUID)."""
        series = set()
        for dataset in datasets:
            content = dataset if isinstance(dataset, bytes) else encode(dataset)
            series.add(self.json("/instances", "POST", data=content)["ParentSeries"])
        if len(series) != 1:
            raise AssertionError(f"expected instances of one series, got {len(series)}")
        return str(series.pop())

    def download(self, series_id: str) -> list[Dataset]:
        """The stored instances of a series, by InstanceNumber."""
        instances = self.json(f"/series/{series_id}")["Instances"]
        datasets = []
        for instance in instances:
            answer = self.get(f"/instances/{instance}/file")
            answer.raise_for_status()
            datasets.append(decoded(answer.content))
        return sorted(datasets, key=lambda dataset: int(dataset.get("InstanceNumber") or 0))

    def series_ids(self) -> set[str]:
        """The Orthanc IDs of all series."""
        return set(self.json("/series"))

    def delete_all(self) -> None:
        """Delete every patient."""
        for patient in self.json("/patients"):
            self.json(f"/patients/{patient}", "DELETE")


def _default_config(folder: Path, script: Path, port: int) -> dict[str, Any]:
    config: dict[str, Any] = {
        "Name": "derived series test",
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "HttpCompressionEnabled": False,
        "StableAge": 1,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(path) for path in NEEDED],
        "PythonScript": str(script),  # Python plugin up to 4.0
        "Python": {"Path": str(script)},  # and from 4.1 on
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    if script == PLUGIN_SCRIPT:
        config["DerivedSeries"] = {"BlueprintFolders": [str(REPOSITORY / "blueprints")]}
    return config


def postgresql_section(port: int, database: str) -> dict[str, Any]:
    """The section for an Orthanc that has its index and its files in a PostgreSQL of the tests."""
    return {
        "EnableIndex": True,
        "EnableStorage": True,
        "Host": "127.0.0.1",
        "Port": port,
        "Database": database,
        "Username": "tests",
        "Password": "tests",
        "Lock": False,
        "IndexConnectionsCount": 10,
        "MaximumConnectionRetries": 60,
        "ConnectionRetryInterval": 1,
    }


def _over_postgresql(folder: Path, port: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Changes for an Orthanc that keeps everything in a new database of its own."""
    import psycopg

    name = f"orthanc-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    address = f"postgresql://tests@127.0.0.1:{port}"
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
    plugins = [*config["Plugins"], *map(str, INDEX_PLUGINS)]
    jobs = (
        {"DerivedSeries": {"JobsDatabase": f"{address}/{name}", "NodeName": "tests"}}
        if "DerivedSeries" in config
        else {}
    )
    return {"Plugins": plugins, "PostgreSQL": postgresql_section(port, name), **jobs}


def _environment() -> dict[str, str]:
    """The environment of a server: the Python of the tests, without settings for the test run itself."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
    if sys.prefix != sys.base_prefix:
        kept["DERIVED_SERIES_VENV"] = sys.prefix
    return kept


def _handles(pid: int, wanted: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal; Linux only."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines():
        name, _, mask = line.partition(":")
        if name == "SigCgt":
            return bool(int(mask, 16) >> (wanted - 1) & 1)
    return False


def _session_members(session: int) -> list[int]:
    """The processes of a session (a zombie counts as dead); Linux only, as Orthanc's packages are."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text("utf-8", "replace")
        except OSError:
            continue  # it ended meanwhile
        # pid (name) state ppid pgrp session ...; the name may hold anything
        state, _, _, its_session = text.rpartition(")")[2].split()[:4]
        if int(its_session) == session and state not in "ZX":
            members.append(int(stat.parent.name))
    return sorted(members)
