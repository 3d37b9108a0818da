"""Two Orthancs over one PostgreSQL, dask's scheduler and two boxes with a worker each.

They are six hosts without a common folder, with TLS on each connection, and with firewalls. Services that end are
started again.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from dask_cluster import Cluster, children
from derived_series.machines.certificates import make_certificates
from hosts import Network
from orthanc_server import INDEX_PLUGINS, NEEDED, REPOSITORY, OrthancServer, merged
from postgresql_server import PostgresqlServer
from server_audit import survivors

HTTP_PORT, HTTPS_PORT, DASK_PORT, POSTGRESQL_PORT = 8042, 8443, 8786, 5432

ORTHANCS, BOXES = ("a", "b"), ("one", "two")
HOSTS = (*ORTHANCS, "database", "scheduler", *BOXES)

WORKER = ("worker", "of the box")
PASSWORD = "of-the-database"
DATABASE = "hospital"

#: Seconds without a word from a worker after which another one gets its job.
LOST_SECONDS = 5.0
_FAMILY_SECONDS = 30.0


class FarOrthanc(OrthancServer):
    """An Orthanc on a host, with HTTPS from a proxy, as Debian 12's own crashes at the first such request."""

    def __init__(self, folder: Path, changes: Mapping[str, Any], address: str, prefix: list[str], ca: Path):
        super().__init__(folder, changes)
        self.address = address
        self.prefix = prefix
        self.session.verify = str(ca)

    @property
    def url(self) -> str:
        return f"https://{self.address}:{HTTPS_PORT}"

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request that is not repeated on a new connection, as a kept one may be closing."""
        if method != "GET":
            self.session.close()
        return super().request(method, path, **options)


class FarPostgresql(PostgresqlServer):
    """A PostgreSQL on a host that requires TLS and a password."""

    def __init__(self, address: str, prefix: list[str], certificates: Path, ca: Path):
        super().__init__()
        self.host, self.port, self.prefix, self._ca = address, POSTGRESQL_PORT, prefix, ca
        self._certificates = certificates

    def prepare(self) -> None:
        """Write its access rules and its certificate before it starts."""
        (self.folder / "password").write_text(PASSWORD)
        rule = "hostssl all tests 0.0.0.0/0 scram-sha-256\n"
        (self.folder / "access").write_text(f"local all all trust\n{rule}")
        for name in ("cert.pem", "key.pem"):
            shutil.copy(self._certificates / name, self.folder / name)
        user = pwd.getpwnam("postgres")
        for each in self.folder.iterdir():
            os.chown(each, user.pw_uid, user.pw_gid)
            each.chmod(0o600)
        self.initdb_options = ["--pwfile=password"]
        self.settings = {
            "hba_file": str(self.folder / "access"),
            "ssl": "on",
            "ssl_cert_file": str(self.folder / "cert.pem"),
            "ssl_key_file": str(self.folder / "key.pem"),
        }

    def address(self, database: str) -> str:
        return self.address_for(database, self._ca)

    def address_for(self, database: str, ca: Path) -> str:
        """The address of a database. :param ca: the file of the authority on the host that connects."""
        place = f"{self.host}:{self.port}/{database}"
        return f"postgresql://tests:{PASSWORD}@{place}?sslmode=verify-full&sslrootcert={ca}"


class Hospital:
    """The hosts with their programs.

    :ivar a, b: the Orthancs. :ivar down: hosts whose service does not restart what ends.
    :param folder: an empty folder. :param library: a blueprint folder, of which each Orthanc gets a copy.
    :param keys: of ``"DerivedSeries"``, for both.
    """

    def __init__(self, folder: Path, library: Path, keys: Mapping[str, Any]):
        self.folder = folder
        self.library = library
        self.keys = keys
        self.down: set[str] = set()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._services = threading.Thread(target=self._serve, daemon=True)
        self._stack = ExitStack()

    def __enter__(self) -> Hospital:
        with ExitStack() as stack:
            self._begin(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # -- what it is made of ----------------------------------------------------------------------------------------

    def _begin(self, stack: ExitStack) -> None:
        for name in HOSTS:
            (self.folder / name).mkdir()
        self.network = stack.enter_context(Network(HOSTS))
        self._hand_out_certificates()
        self.postgresql = FarPostgresql(
            self.network.hosts["database"],
            self.prefix("database"),
            self.certificates("database"),
            self.folder / "ca.pem",
        )
        self.postgresql.prepare()
        stack.enter_context(self.postgresql)
        self.postgresql.new_database(DATABASE)
        self.clusters = {name: stack.enter_context(self._cluster(name)) for name in ("scheduler", *BOXES)}
        self.clusters["scheduler"].start_scheduler()
        for name in BOXES:
            self.clusters[name].start_worker(name, credentials=":".join(WORKER))
        for name in ORTHANCS:
            stack.callback(_end, self._https(name))
        self._close_ports()
        self.a, self.b = (self._orthanc(name) for name in ORTHANCS)
        for server in self.servers:  # one after the other: the first makes Orthanc's tables
            stack.enter_context(server)
        stack.callback(self._end_services)
        self._services.start()

    @property
    def servers(self) -> tuple[FarOrthanc, FarOrthanc]:
        return self.a, self.b

    def server(self, name: str) -> FarOrthanc:
        return self.servers[ORTHANCS.index(name)]

    def leads(self, server: OrthancServer) -> bool:
        return bool(server.json("/derived-series/status")["Nodes"]["Leads"])

    def foreign(self, name: str) -> list[Path]:
        """The folders of the other hosts."""
        others = [self.folder / other for other in HOSTS if other != name]
        of_database = [] if name == "database" else [self.postgresql.folder]
        return [*others, *of_database, self.folder / "authority"]

    def prefix(self, name: str) -> list[str]:
        """The command before another one to run it on a host."""
        return self.network.within(name, self.foreign(name))

    def certificates(self, name: str) -> Path:
        return self.folder / name / "certificates" / ("box" if name in BOXES else name)

    def _hand_out_certificates(self) -> None:
        authority = self.folder / "authority"
        make_certificates(authority, list(self.network.hosts.values()))
        for name, address in self.network.hosts.items():
            shutil.copytree(authority / address, self.certificates(name))
        shutil.copy(authority / "ca" / "ca.pem", self.folder / "ca.pem")
        for name in ORTHANCS:
            parts = [(self.certificates(name) / part).read_text() for part in ("cert.pem", "key.pem")]
            (self.folder / name / "https.pem").write_text("".join(parts))

    def _cluster(self, name: str) -> Cluster:
        cluster = Cluster(self.folder / name)
        cluster.host, cluster.port = self.network.hosts["scheduler"], DASK_PORT
        cluster.prefix = self.prefix(name)
        return cluster

    def _https(self, name: str) -> subprocess.Popen[bytes]:
        proxy = [str(REPOSITORY / "tests" / "tls_proxy.py"), str(self.folder / name / "https.pem")]
        command = [*self.prefix(name), sys.executable, *proxy, str(HTTPS_PORT), str(HTTP_PORT)]
        return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command])

    def _close_ports(self) -> None:
        for name in ORTHANCS:
            self.network.refuse_connections_to(name, but=HTTPS_PORT)
        self.network.refuse_connections_to("database", but=POSTGRESQL_PORT)
        self.network.refuse_connections_to("scheduler", but=DASK_PORT)
        for name in BOXES:
            self.network.refuse_connections_to(name)

    def _orthanc(self, name: str) -> FarOrthanc:
        folder, address = self.folder / name, self.network.hosts[name]
        certificates = self.certificates(name)
        shutil.copytree(self.library, folder / "library")
        gpu = {
            "Scheduler": self.clusters["scheduler"].address,
            "Certificates": str(certificates),
            "OrthancUrl": f"https://{address}:{HTTPS_PORT}",
            "CaBundle": str(certificates / "ca.pem"),
            "Resources": {"GPU": 1},
            "Workers": 2,
            "LostAfterSeconds": LOST_SECONDS,
        }
        keys = {
            "NodeName": name,
            "JobsDatabase": self.postgresql.address_for(DATABASE, certificates / "ca.pem"),
            "Workers": 1,
            "BlueprintFolders": [str(REPOSITORY / "blueprints"), str(folder / "library")],
            "Environments": {"gpu": gpu},
        }
        index = {"Host": self.postgresql.host, "Password": PASSWORD, "EnableSsl": True}
        changes = {
            "Name": name,
            "HttpPort": HTTP_PORT,
            "RemoteAccessAllowed": True,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {"anna": "one", WORKER[0]: WORKER[1]},
            "Plugins": [str(path) for path in (*NEEDED, *INDEX_PLUGINS)],
            "PostgreSQL": merged(self.postgresql.orthanc(DATABASE), index),
            "DerivedSeries": merged(keys, self.keys),
        }
        return FarOrthanc(folder, changes, address, self.prefix(name), self.folder / "ca.pem")

    # -- what becomes of it ----------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._ending.wait(0.3):
            with self._lock:
                for name in {*HOSTS} - self.down - {"database"}:
                    if not self._lives(name):
                        self._start_again(name)

    def _lives(self, name: str) -> bool:
        if name in ORTHANCS:
            return self.server(name).returncode is None
        return self.clusters[name].processes[name].poll() is None

    def _start_again(self, name: str) -> None:
        if name in ORTHANCS:
            self.server(name).launch()
        elif name == "scheduler":
            self.clusters[name].run_scheduler()
        else:
            self.clusters[name].start_worker(name, credentials=":".join(WORKER))

    def _end_services(self) -> None:
        self._ending.set()
        self._services.join()

    def processes(self, name: str) -> list[int]:
        """The processes of a host's main program, the first before its children."""
        if name == "database":
            return self.postgresql.processes()
        if not self._lives(name):
            return []
        if name in ORTHANCS:
            server = self.server(name)
            return [server.pid, *server.children()]
        pid = self.clusters[name].pid(name)
        return [pid, *children(pid)]

    @contextmanager
    def killed(self, name: str) -> Iterator[None]:
        """End the main program of a host with its children; it is started again afterwards."""
        with self._lock:
            self.down.add(name)
            family = self.processes(name)
            if name == "database":
                self.postgresql.kill()
            else:
                _signal(family[:1], signal.SIGKILL)
        left = survivors(family, _FAMILY_SECONDS)
        assert left == [], f"what {name} has started outlives it"
        try:
            yield
        finally:
            if name == "database":
                self.postgresql.start()
            with self._lock:
                self.down.discard(name)

    @contextmanager
    def frozen(self, name: str, *, whole: bool = True) -> Iterator[None]:
        """Freeze the main program of a host. :param whole: its children too, as if the machine stood still."""
        family = self.processes(name) if whole else self.processes(name)[:1]
        _signal(family, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(family, signal.SIGCONT)

    @contextmanager
    def cut_off(self, name: str) -> Iterator[None]:
        """Pull the host's cable."""
        self.network.cut(name)
        try:
            yield
        finally:
            self.network.cut(name, again=True)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
