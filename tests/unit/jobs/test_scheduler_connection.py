"""Why a scheduler is not reached: told in words by what a connection meets, for each thing that may be wrong."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from derived_series.machines import certificates as certificates_module
from derived_series.machines.certificates import make_certificates
from derived_series.scheduler_connection import CertificateFiles, obstacle
from orthanc_server import free_port

Serve = Callable[[socket.socket], None]


@contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """Something on a port that takes connections, one after the other, as a scheduler does."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def take() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        serve(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def by_tls(folder: Path) -> Serve:
    files = CertificateFiles.of(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.ca)
    context.verify_mode = ssl.CERT_REQUIRED

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.sendall(b"welcome")

    return serve


def in_plain(connection: socket.socket) -> None:
    connection.sendall(b"welcome")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Machines of two authorities, and one whose certificate was good until yesterday."""
    for authority in ("ours", "other"):
        make_certificates(tmp_path / authority, ["box", "orthanc"])

    class Earlier:
        @staticmethod
        def now(zone: object) -> datetime:
            return datetime.now(UTC) - timedelta(days=2)

    monkeypatch.setattr(certificates_module, "_DAYS", 1)
    monkeypatch.setattr(certificates_module, "datetime", Earlier)
    make_certificates(tmp_path / "ours", ["former"])
    return tmp_path


def test_one_that_lets_us_in_has_no_obstacle(folder: Path) -> None:
    with listening(by_tls(folder / "ours" / "box")) as port:
        assert obstacle(f"tls://127.0.0.1:{port}", CertificateFiles.of(folder / "ours" / "orthanc")) is None
    with listening(in_plain) as port:
        assert obstacle(f"tcp://127.0.0.1:{port}", None) is None


def test_certificates_that_do_not_fit_are_told_apart(folder: Path) -> None:
    with listening(by_tls(folder / "ours" / "box")) as port:
        address = f"tls://127.0.0.1:{port}"
        other = obstacle(address, CertificateFiles.of(folder / "other" / "orthanc"))
        former = obstacle(address, CertificateFiles.of(folder / "ours" / "former"))
        stranger = CertificateFiles.of(folder / "other" / "orthanc")
        files = CertificateFiles(str(folder / "ours" / "orthanc" / "ca.pem"), stranger.certificate, stranger.key)
        unknown = obstacle(address, files)
    assert "its certificate is not trusted" in str(other)
    assert "it refuses our certificate" in str(former) and "expired" in str(former)
    assert "it refuses our certificate" in str(unknown) and "unknown ca" in str(unknown)
    with listening(by_tls(folder / "ours" / "former")) as port:
        expired = obstacle(f"tls://127.0.0.1:{port}", CertificateFiles.of(folder / "ours" / "orthanc"))
    assert "its certificate is not trusted: certificate has expired" in str(expired)


def test_addresses_that_lead_nowhere_are_told_apart(folder: Path) -> None:
    files = CertificateFiles.of(folder / "ours" / "orthanc")
    assert obstacle(f"tls://127.0.0.1:{free_port()}", files) == "Connection refused"
    assert obstacle("tls://nowhere.invalid:8786", files) == "its name is not known here"
    with listening(in_plain) as port:
        assert obstacle(f"tls://127.0.0.1:{port}", files) == "it does not speak TLS"
    with listening(lambda connection: None) as port:
        assert obstacle(f"tcp://127.0.0.1:{port}", None) == "it ends the connection"
