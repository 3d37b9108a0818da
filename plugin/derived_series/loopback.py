"""Checks whether an address belongs to this machine alone."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str | None) -> bool:
    """Whether a name or an address is a loopback one, which no other machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_unencrypted(address: str) -> bool:
    """Whether traffic to a dask address such as ``tcp://box:8786`` can be read and changed on its way."""
    return not address.startswith("tls:") and not is_loopback(urlsplit(address).hostname)
