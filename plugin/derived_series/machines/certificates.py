"""Certificates for dask's TLS: a private authority, and one certificate for each machine.

They are made with ``cryptography``, which comes with the extra; the program openssl would need a certain version, a
configuration file, and a parser for its output.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from derived_series.errors import InvalidRequest

_DAYS = 825
_CA_DAYS = 3650
_SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def make_certificates(folder: Path, machines: Sequence[str]) -> list[Path]:
    """Make a folder for each machine, with ca.pem, cert.pem and key.pem; return the new ones.

    The authority is ``ca/ca.pem`` and ``ca/key.pem``; it is made if it does not exist, and used again for machines that
    are added later. A machine's folder that exists stays as it is.

    :param machines: their names or addresses.
    """
    authority = folder / "ca"
    if not authority.exists():
        _make_authority(authority)
    ca_key = serialization.load_pem_private_key((authority / "key.pem").read_bytes(), None)
    ca = x509.load_pem_x509_certificate((authority / "ca.pem").read_bytes())
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise InvalidRequest(f"{authority / 'key.pem'} is not a key that this command has made")
    folders = []
    for machine in machines:
        place = folder / machine
        if machine in ("", ".", "..", "ca") or "/" in machine:
            raise InvalidRequest(f"{machine!r} is not the name of a machine")
        if place.exists():
            continue
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(machine, ca.subject, key, _DAYS)
            .add_extension(x509.SubjectAlternativeName([_alternative(machine)]), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        _write(place, ca, certificate, key)
        folders.append(place)
    return folders


def _make_authority(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Derived Series workers")
    certificate = (
        _builder("Derived Series workers", name, key, _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(folder, certificate, None, key)


def _builder(subject: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(machine: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(machine))
    except ValueError:
        return x509.DNSName(machine)


def _write(
    folder: Path, ca: x509.Certificate, certificate: x509.Certificate | None, key: ec.EllipticCurvePrivateKey
) -> None:
    folder.mkdir(parents=True, mode=0o700)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    if certificate is not None:
        (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    content = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(folder / "key.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
