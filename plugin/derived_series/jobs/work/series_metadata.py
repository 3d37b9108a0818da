"""Reads metadata of series, which other programs may have written."""

from __future__ import annotations

import json

from derived_series.dicomweb.client import Client
from derived_series.errors import NotFound


def metadata_of(client: Client, series: str, number: int) -> object:
    """User-defined metadata of a series; None if it has none, or not JSON."""
    try:
        return json.loads(client.get_bytes(f"/series/{series}/metadata/{number}"))
    except (NotFound, ValueError, RecursionError):
        return None
