"""Whether an address is of this machine alone."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str | None) -> bool:
    """Whether a name or an address is this machine's own, by which no other machine is reached."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_unencrypted(address: str) -> bool:
    """Whether what is sent to an address of dask, such as ``tcp://box:8786``, can be read and changed on its way."""
    return not address.startswith("tls:") and not is_loopback(urlsplit(address).hostname)
