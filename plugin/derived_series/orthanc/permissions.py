"""What Orthanc's authorization plugin has to know of our routes: its configuration, made from the table of addresses.

The plugin refuses (403) what none of its permissions names. ``ExtraPermissions`` (from its version 0.10 on) adds to
those that it has by default, which let users with ``view`` read whatever is below ``/series/{id}/``.
https://orthanc.uclouvain.be/book/plugins/authorization.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from derived_series.jobs.metadata import EXPLANATION, PROVENANCE, RETRIEVED, REVIEW
from derived_series.orthanc.addresses import ADDRESSES, Address

#: Where the package has it, as a file to copy from; written by scripts/conformance.py.
SHIPPED = Path(__file__).resolve().with_name("authorization.json")

#: The user of the plugin's permissions who may do all.
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
    """The section ``"Authorization"``, as far as it is about our routes: to be merged with one's own."""
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
    """The file ``SHIPPED``: one permission a line."""
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
    """With identifiers as the plugin knows them: what it does not take for a resource, it asks no label of."""
    return address.pattern if address.about is None else address.pattern.replace("([^/]+)", "([a-f0-9-]+)", 1)


def _is_a_default(method: str, address: Address) -> bool:
    """Whether the plugin's own permissions have it: whoever has ``view`` may read below a resource."""
    return method == "GET" and address.about is not None
