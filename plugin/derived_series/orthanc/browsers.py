"""Tells requests that other sites' pages make a browser send from requests of people and programs.

A browser sends a person's credentials along with any request of a page: a form of a foreign page reaches Orthanc in
that person's name (CSRF), and a foreign host name that is resolved to this machine makes Orthanc's data that page's own
(DNS rebinding). Browsers reveal both, by ``Origin`` and ``Sec-Fetch-Site``, and by ``Host``. Other programs send no
``Origin``, and the host name that they were called with. These are functions of values, without a server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from derived_series.errors import Forbidden
from derived_series.orthanc.http import Request

_FOREIGN_SITES = ("cross-site", "same-site")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Refuses requests that other sites' pages make a browser send.

    :param origins: origins whose pages may send requests besides Orthanc's: ``https://portal.hospital.org``.
    :param hosts: names of this Orthanc besides localhost and addresses; with or without a port.
    :param any_host: other names are accepted too: Orthanc serves other machines, whose names for it are not known here.
    """

    origins: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    any_host: bool = False

    def check(self, request: Request) -> None:
        """Check the headers of a request.

        :raises Forbidden: another site sent it; the message names the header and the setting that allows it.
        """
        self._check_host(request.headers.get("host", ""))
        if request.method != "GET":
            self._check_origin(request.headers)

    def _check_host(self, host: str) -> None:
        if not host or self.any_host or is_local(host):  # old programs may send none, but browsers always do
            return
        if not {host.lower(), name_of(host)} & {each.lower() for each in self.hosts}:
            raise Forbidden(
                f"the request is for the host {host!r}, which this Orthanc is not known by",
                remedy='add the name to "AllowedHosts" in the "DerivedSeries" section of the configuration',
            )

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "").strip().lower()
        if origin is not None:
            if _origin(origin) in map(_origin, self.origins):
                return
            if not _is_of(origin, headers.get("host", "")):
                raise _foreign(
                    f"the page that asks is of {origin!r}, not of this Orthanc ({headers.get('host', '')!r})"
                )
        if site in _FOREIGN_SITES:
            raise _foreign(f"the page that asks is of another site (Sec-Fetch-Site: {site})")


def _foreign(message: str) -> Forbidden:
    return Forbidden(
        message,
        remedy='if it may, add its origin to "AllowedOrigins" in the "DerivedSeries" section of the configuration',
    )


def name_of(host: str) -> str:
    """The name or address of a Host header, without its port and brackets."""
    return (urlsplit(f"//{host}").hostname or "") if _is_host(host) else ""


def _is_host(host: str) -> bool:
    return re.fullmatch(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]/:?#@\\\s]+)(:[0-9]*)?", host) is not None


def is_local(host: str) -> bool:
    """Whether a Host header cannot be a foreign name: it is localhost (RFC 6761) or an address."""
    name = name_of(host).rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return bool(ip_address(name))
    except ValueError:
        return False


def _origin(text: str) -> tuple[str, str]:
    """Scheme and host with its port."""
    scheme, _, host = text.strip().lower().partition("://")
    name, port = name_of(host), host.rpartition(":")[2] if re.search(r":[0-9]+$", host) else ""
    return scheme, f"{name}:{port or _DEFAULT_PORTS.get(scheme, '')}"


def _is_of(origin: str, host: str) -> bool:
    """Whether an origin is the requested host. The scheme is ignored, as a proxy may speak HTTPS for Orthanc."""
    scheme, place = _origin(origin)
    return scheme in _DEFAULT_PORTS and bool(name_of(host)) and place == _origin(f"{scheme}://{host}")[1]


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether a request is a multipart form (``curl -F``, ``requests.post(files=)``).

    Orthanc passes on the parts one by one, each with headers that its sender chooses, and answers 200 whatever happens:
    such a request must not reach a route.
    """
    return headers.get("content-type", "").strip().lower().startswith("multipart/form-data")


def leads_to(uri: str, patterns: Iterable[re.Pattern[str]]) -> bool:
    """Whether Orthanc reads an address as one of our routes, however it is written."""
    parts = [part for part in unquote(uri).replace("\\", "/").split("/") if part not in ("", ".")]
    return ".." in parts or any(pattern.fullmatch("/" + "/".join(parts)) for pattern in patterns)
