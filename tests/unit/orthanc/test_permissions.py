"""What the authorization plugin has to know of our routes, and what it decides then, by a stand-in for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from authorization_matrix import RESOURCE, ROLES, markdown, matrix
from authorization_plugin import AuthorizationPlugin
from derived_series.orthanc.addresses import ADDRESSES
from derived_series.orthanc.permissions import SHIPPED, authorization, shipped_text

ROOT = Path(__file__).resolve().parents[3]


def of_the_document() -> str:
    text = (ROOT / "docs" / "conformance.md").read_text("utf-8")
    match = re.search(r"<!-- table: authorization -->\n(.*?)<!-- end -->", text, flags=re.DOTALL)
    assert match
    return match[1]


def test_the_package_ships_what_the_table_of_addresses_says() -> None:
    assert SHIPPED.read_text("utf-8") == shipped_text(), "run: PYTHONPATH=plugin:tests python scripts/conformance.py"
    assert json.loads(shipped_text()) == {"Authorization": authorization()}


def test_the_matrix_is_the_documents_and_another_without_the_block() -> None:
    section = json.loads(SHIPPED.read_text("utf-8"))["Authorization"]
    assert markdown(section) == of_the_document()
    for key in section:  # each part of the block is needed
        assert markdown({name: section[name] for name in section if name != key}) != of_the_document(), key
    bare = matrix({})
    changing = [row for row in bare if row[1] != "GET"]
    assert changing and not any(allowed for row in changing for allowed in bare[row].values())


def test_each_permission_does_what_it_is_for_and_no_more() -> None:
    allowed = matrix(authorization())
    changes = {role: {row for row in allowed if row[1] != "GET" and allowed[row][role]} for role in ROLES}
    assert changes["nobody"] == changes["view"] == changes["doctor"] == set()
    deriving = {("derive", "POST"), ("derive image", "POST"), ("cancel", "POST"), ("resubmit", "POST")}
    assert changes["view, derive"] == deriving | {("job, to change", "POST")}
    assert changes["view, review"] == {("verdict", "POST")}
    assert ("verdict", "POST") not in changes["view, admin"] and ("derive", "POST") not in changes["view, admin"]
    assert changes["all"] == {row for row in allowed if row[1] != "GET"}


def test_labels_hold_below_a_resource_whatever_its_identifier_looks_like() -> None:
    """What the plugin does not take for a resource it asks no label of: no permission of ours lets that through."""
    reader = ROLES["view, of other studies"]
    labels = {RESOURCE: frozenset({"ours"}), "beef": frozenset({"other"})}
    plugin = AuthorizationPlugin(authorization(), labels=labels)
    assert plugin.allows("POST", "/series/beef/derive", reader)
    assert not plugin.allows("POST", f"/series/{RESOURCE}/derive", reader)
    assert not plugin.allows("POST", f"/series/{RESOURCE.upper()}/derive", reader)
    for address in ADDRESSES.values():
        assert address.about is None or address.pattern.startswith(f"/{address.about}/([^/]+)/")
