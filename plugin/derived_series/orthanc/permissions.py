"""Makes the authorization plugin's configuration for our routes from the table of addresses.

The plugin refuses (403) routes that none of its permissions covers. ``ExtraPermissions`` (from its version 0.10 on)
adds to its default ones, which let users with ``view`` read everything below ``/series/{id}/``.
https://orthanc.uclouvain.be/book/plugins/authorization.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from derived_series.jobs.metadata import EXPLANATION, PROVENANCE, RETRIEVED, REVIEW
from derived_series.orthanc.addresses import ADDRESSES, Address

#: The path of the configuration in the package, to copy from; scripts/conformance.py writes it.
SHIPPED = Path(__file__).resolve().with_name("authorization.json")

#: The plugin's permission of users who may do everything.
_ALL = "all"

#: What workers send to Orthanc's own routes, of which the plugin's defaults have nothing: the series themselves (the
#: plugin knows STOW-RS without a study in its address), and what is kept beside them.
_OF_WORKERS = (
    ("post", "^/DICOM_WEB_ROOT/studies/([.0-9]+)$", "upload"),
    (
        "put",
        f"^/series/([a-f0-9-]+)/metadata/({'|'.join(map(str, sorted({PROVENANCE, REVIEW, RETRIEVED})))})$",
        "admin",
    ),
    ("put", f"^/series/([a-f0-9-]+)/attachments/{EXPLANATION}$", "admin"),
)


def authorization() -> dict[str, Any]:
    """The section ``"Authorization"`` for our routes, to be merged with the user's own."""
    return {
        "ExtraPermissions": [*_permissions()],
        "UncheckedResources": [
            "/derived-series",
            "/derived-series/",
            "/derived-series/derive.html",
            "/derived-series/bulk.html",
            "/derived-series/health",
        ],
        "UncheckedFolders": ["/derived-series/app/", "/derived-series/review/", "/derived-series-ohif/"],
    }


def shipped_text() -> str:
    """The text of the file ``SHIPPED``: one permission a line."""
    section = authorization()
    lines = ",\n".join(f"      {json.dumps(each)}" for each in section["ExtraPermissions"])
    others = "".join(f',\n    "{key}": {json.dumps(section[key])}' for key in section if key != "ExtraPermissions")
    return f'{{\n  "Authorization": {{\n    "ExtraPermissions": [\n{lines}\n    ]{others}\n  }}\n}}\n'


def _permissions() -> Iterator[list[str]]:
    for address in ADDRESSES.values():
        for method, permissions in address.methods.items():
            if permissions is not None and not _is_a_default(method, address):
                yield [method.lower(), f"^{_pattern(address)}$", "|".join([_ALL, *permissions])]
    for verb, pattern, permission in _OF_WORKERS:
        yield [verb, pattern, f"{_ALL}|{permission}"]


def _pattern(address: Address) -> str:
    """An address with the plugin's pattern of identifiers; it asks for no label of anything else."""
    return address.pattern if address.about is None else address.pattern.replace("([^/]+)", "([a-f0-9-]+)", 1)


def _is_a_default(method: str, address: Address) -> bool:
    """Whether the plugin's own permissions cover an address: whoever has ``view`` may read below a resource."""
    return method == "GET" and address.about is not None
