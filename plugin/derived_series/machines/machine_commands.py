"""``derived-series worker``, ``scheduler`` and ``certificates``: commands for the other machines of an Orthanc."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from derived_series.errors import InvalidRequest
from derived_series.loopback import is_unencrypted
from derived_series.scheduler_connection import CertificateFiles, obstacle

#: The ports to listen on, which a firewall must know.
SCHEDULER_PORT = 8786
WORKER_PORTS = "8788:8797"

#: The module that a worker loads.
PRELOAD = "derived_series.jobs.box.preload"

_CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")

_ADDRESS = re.compile(r"(tcp|tls)://[^/@\s]+:[0-9]{1,5}")
_PORTS = re.compile(r"[0-9]{1,5}(:[0-9]{1,5})?")
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9_]*=[0-9]+(\.[0-9]+)?")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the three commands to the parser."""
    worker = commands.add_parser("worker", help="run jobs of an Orthanc on this machine")
    worker.add_argument("scheduler", metavar="SCHEDULER", help="such as tls://box:8786")
    worker.add_argument("--resources", default="", metavar="NAME=N", help="what this worker has, such as GPU=1")
    worker.add_argument("--scratch", type=Path, required=True, metavar="DIR", help="for what jobs need while they run")
    worker.add_argument("--credentials", type=Path, metavar="FILE", help="who it is to Orthanc: a line user:password")
    worker.add_argument("--name", help="as the status calls it; default: this machine's name and the port")
    worker.add_argument("--port", default=WORKER_PORTS, help=f"that it listens at; default: one of {WORKER_PORTS}")
    scheduler = commands.add_parser("scheduler", help="run dask's scheduler, between Orthanc and its workers")
    scheduler.add_argument("--host", default="", help="the address to listen at; default: all of this machine")
    scheduler.add_argument("--port", type=int, default=SCHEDULER_PORT, help=f"default: {SCHEDULER_PORT}")
    scheduler.add_argument("--dashboard", metavar="HOST:PORT", help="serve dask's pages there, without a password")
    for each in (worker, scheduler):
        each.add_argument("--certificates", type=Path, metavar="DIR", help="for TLS; only one machine needs none")
        each.add_argument(
            "--allow-unencrypted", action="store_true", help="speak to other machines without certificates"
        )
    certificates = commands.add_parser("certificates", help="make the certificates for TLS between machines")
    certificates.add_argument("folder", type=Path, metavar="DIR", help="keep it: its ca/key.pem lets machines in")
    certificates.add_argument(
        "machines", nargs="+", metavar="MACHINE", help="a name or an address; a folder is made of each"
    )


def _worker(options: argparse.Namespace) -> int:
    _check_extra()
    _check_worker(options)
    os.environ["DERIVED_SERIES_SCRATCH"] = str(options.scratch.resolve())
    if options.credentials is not None:
        os.environ["DERIVED_SERIES_CREDENTIALS"] = str(options.credentials.resolve())
    arguments = [
        *("worker", options.scheduler, "--no-nanny", "--nthreads", "1", "--preload", PRELOAD),
        *("--worker-port", options.port, "--no-dashboard", "--memory-limit", "0"),
        *("--local-directory", str(options.scratch.resolve())),
        *(("--name", options.name) if options.name else ()),
        *(("--resources", options.resources.replace(",", " ")) if options.resources else ()),
        *_tls(options, options.scheduler),
    ]
    return _dask(arguments)


def _check_worker(options: argparse.Namespace) -> None:
    """Refuse options with which dask would end with a traceback, or a worker wait for ever.

    :raises InvalidRequest: an option cannot work; the message names it.
    """
    if not _ADDRESS.fullmatch(options.scheduler):
        raise InvalidRequest(
            f"{options.scheduler!r} is not the address of a scheduler", remedy="such as tls://box:8786"
        )
    if options.scheduler.startswith("tcp:") and options.certificates is not None:
        raise InvalidRequest("--certificates are for a scheduler with tls://", remedy=f"tls{options.scheduler[3:]}")
    if not _PORTS.fullmatch(options.port):
        raise InvalidRequest(f"--port {options.port!r}: a port, or the first and the last, such as {WORKER_PORTS}")
    for each in filter(None, options.resources.replace(",", " ").split()):
        if not _RESOURCE.fullmatch(each):
            raise InvalidRequest(f"--resources {each!r}: not NAME=N", remedy="such as GPU=1, or GPU=1,LICENSE=2")
    folder = options.scratch
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidRequest(
            f"--scratch {folder} cannot be used: {error.strerror}", remedy="name a folder that this user may write to"
        ) from error
    if options.credentials is not None:
        from derived_series.jobs.box.credentials import read_credentials

        read_credentials(options.credentials)
    tls = _tls(options, options.scheduler)
    problem = obstacle(options.scheduler, CertificateFiles.of(options.certificates) if tls else None)
    if problem is not None:
        print(f"the scheduler {options.scheduler} is not reached yet: {problem}", file=sys.stderr)


def _scheduler(options: argparse.Namespace) -> int:
    _check_extra()
    os.environ.setdefault("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    host = f"[{options.host}]" if ":" in options.host else options.host or "0.0.0.0"
    dashboard = ["--dashboard-address", options.dashboard] if options.dashboard else ["--no-dashboard", "--no-show"]
    protocol = "tls" if options.certificates else "tcp"
    arguments = [
        *("scheduler", "--protocol", protocol, "--port", str(options.port)),
        *(("--host", options.host) if options.host else ()),
        *dashboard,
        *_tls(options, f"{protocol}://{host}:{options.port}"),
    ]
    return _dask(arguments)


def _tls(options: argparse.Namespace, address: str) -> tuple[str, ...]:
    """dask's TLS options for an address; other machines need TLS unless unencrypted connections are allowed."""
    folder: Path | None = options.certificates
    if folder is None:
        if is_unencrypted(address) and not options.allow_unencrypted:
            raise InvalidRequest(
                f"{address} can be reached by other machines and is not encrypted: whoever reaches it may run any "
                "program on the workers",
                remedy="use tls:// and --certificates, or --allow-unencrypted in a network that you trust as a whole; "
                "on one machine, the address 127.0.0.1",
            )
        if address.startswith("tls:"):
            raise InvalidRequest(f"{address} needs --certificates", remedy="derived-series certificates makes them")
        return ()
    ca, certificate, key = (folder / each for each in _CERTIFICATES)
    for each in (ca, certificate, key):
        if not each.is_file():
            raise InvalidRequest(f"{each} is not there", remedy="derived-series certificates makes it")
    CertificateFiles.of(folder).context()
    return ("--tls-ca-file", str(ca), "--tls-cert", str(certificate), "--tls-key", str(key))


def _dask(arguments: list[str]) -> int:
    """Become dask's own command, with its signals and logs."""
    os.execv(sys.executable, [sys.executable, "-m", "dask", *arguments])


def _certificates(options: argparse.Namespace) -> int:
    _check_extra()
    from derived_series.machines.certificates import make_certificates

    for folder in make_certificates(options.folder, options.machines):
        print(f"{folder}: copy it to {folder.name}, readable for its service alone")
    print(f"Keep {options.folder / 'ca' / 'key.pem'} where only you can read it: it lets machines in.")
    return 0


def _check_extra() -> None:
    """Require the packages of the extra. :raises InvalidRequest: some are not installed."""
    if lacking := [name for name in ("distributed", "cryptography") if find_spec(name) is None]:
        raise InvalidRequest(
            f"{' and '.join(lacking)} of the extra [dask] is not installed",
            remedy="pip install 'derived-series-orthanc[dask]'",
        )


#: The function of each command, which returns the exit status.
COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "worker": _worker,
    "scheduler": _scheduler,
    "certificates": _certificates,
}
