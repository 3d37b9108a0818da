"""Computes which role may use which of our routes under the authorization plugin: the table of docs/conformance.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from authorization_plugin import ANONYMOUS, AuthorizationPlugin, Profile
from derived_series.orthanc.addresses import ADDRESSES

#: Series and instances of a study with the label "ours"; the other reader may see only those with "other".
RESOURCE = "0123abcd-0123abcd-0123abcd-0123abcd-0123abcd"

#: The roles by the heading of their column; "doctor" and "admin" come from the plugin's own service.
ROLES: Mapping[str, Profile] = {
    "nobody": ANONYMOUS,
    "view": Profile("vera", frozenset({"view"})),
    "view, of other studies": Profile("otto", frozenset({"view", "derive", "review"}), frozenset({"other"})),
    "doctor": Profile("doris", frozenset({"view", "download", "share", "send"})),
    "view, derive": Profile("dora", frozenset({"view", "derive"})),
    "view, review": Profile("rita", frozenset({"view", "review"})),
    "view, admin": Profile("adam", frozenset({"view", "admin"})),
    "all": Profile("alma", frozenset({"all"})),
}


def example(pattern: str) -> str:
    """An address that fits a pattern of the table."""
    path = re.sub(r"^(/series|/instances)/\(\[\^/\]\+\)", rf"\1/{RESOURCE}", pattern)
    path = re.sub(r"\(\.\*\)", "index.html", re.sub(r"\(\[\^/\]\+\)", "x", path))
    return re.sub(r"\((\w+)\|[\w|]+\)", r"\1", path)


def shown(pattern: str) -> str:
    """A pattern in the form for documents."""
    path = re.sub(r"^(/series|/instances)/\(\[\^/\]\+\)", r"\1/{id}", pattern)
    path = re.sub(r"\(\w+\|[\w|]+\)", "{verb}", path)
    return re.sub(r"\(\[\^/\]\+\)", "{…}", path).replace("(.*)", "{…}")


def matrix(section: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, bool]]:
    """Whether each role is allowed, by route and method.

    :param section: ``Authorization`` of the configuration.
    """
    plugin = AuthorizationPlugin(section, labels={RESOURCE: frozenset({"ours"})})
    return {
        (name, method): {
            role: plugin.allows(method, example(address.pattern), profile) for role, profile in ROLES.items()
        }
        for name, address in ADDRESSES.items()
        for method in address.methods
    }


def markdown(section: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    lines = [f"| route | {' | '.join(ROLES)} |", "|---" * (len(ROLES) + 1) + "|"]
    for (name, method), roles in matrix(section).items():
        answers = " | ".join("yes" if allowed else "–" for allowed in roles.values())
        lines.append(f"| `{method} {shown(ADDRESSES[name].pattern)}` | {answers} |")
    return "\n".join(lines) + "\n"
