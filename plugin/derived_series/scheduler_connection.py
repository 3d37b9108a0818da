"""Checks whether dask's scheduler can be reached: its name, port and certificates. dask says too little about these."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from derived_series.errors import InvalidRequest
from derived_series.no_answer import reason_of

#: Seconds to wait for a connection, and for the first words of a server that accepts us.
_CONNECT_SECONDS = 5.0
_GREETING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The files of dask's TLS, in PEM."""

    ca: str
    certificate: str
    key: str

    @classmethod
    def of(cls, folder: Path) -> CertificateFiles:
        """The files of a folder that ``derived-series certificates`` made."""
        return cls(str(folder / "ca.pem"), str(folder / "cert.pem"), str(folder / "key.pem"))

    def context(self) -> ssl.SSLContext:
        """The TLS context for connections to a server; like dask's, it does not compare the server's name.

        :raises InvalidRequest: the files cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        remedy = "derived-series certificates makes them: see docs/many-machines.md"
        try:
            context.load_verify_locations(self.ca)
        except OSError as error:  # which includes ssl's errors
            raise InvalidRequest(f"{self.ca} cannot be used: {_words(error)}", remedy=remedy) from error
        try:
            context.load_cert_chain(self.certificate, self.key, password=_refuse_password)
        except (OSError, InvalidRequest) as error:
            words = error.message if isinstance(error, InvalidRequest) else _words(error)
            text = f"{self.certificate} and {self.key} cannot be used: {words}"
            raise InvalidRequest(text, remedy=remedy) from error
        return context


def _refuse_password() -> bytes:
    raise InvalidRequest("the key is encrypted, and nobody can enter its password")


def _words(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return error.strerror or type(error).__name__
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is of another certificate"
    return f"there is nothing of this kind in it, in PEM ({error.reason or error.args[-1]})"


def obstacle(address: str, files: CertificateFiles | None) -> str | None:
    """Why a scheduler cannot be reached, in words; None if it can, or if only dask can tell.

    :param address: such as ``tls://box:8786``. :param files: None without TLS.
    :raises InvalidRequest: the certificates cannot be used.
    """
    context = None if files is None else files.context()
    parts = urlsplit(address)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), _CONNECT_SECONDS) as plain:
            if context is not None:
                with context.wrap_socket(plain) as connection:
                    _listen(connection)
            else:
                _listen(plain)
    except (OSError, ValueError, UnicodeError) as error:
        return reason_of(error) or str(error)
    return None


def _listen(connection: socket.socket) -> None:
    """Wait for the first words of the server: with TLS 1.3 it refuses a client only after the handshake.

    :raises OSError: it refuses us.
    """
    connection.settimeout(_GREETING_SECONDS)
    try:
        words = connection.recv(1)
    except TimeoutError:
        return
    if not words:
        raise ConnectionResetError("it ends the connection")
