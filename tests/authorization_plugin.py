"""Imitates the decisions of Orthanc's authorization plugin: its patterns, default permissions and order of checks.

It is a stand-in for tests, as no package brings the plugin itself. It has the parts of ``FilterHttpRequests`` in
Plugin.cpp that concern users: unchecked resources and folders, permissions by method and pattern (the first that fits
decides), and the labels of the resource in the address. It has no tokens for single resources, which users share.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_DEFAULTS = json.loads((Path(__file__).parent / "authorization_defaults.json").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Profile:
    """A user, as in an answer of ``GET /auth/user/profile``.

    :param labels: the labels of the studies that the user may see; ``*``: all.
    """

    name: str
    permissions: frozenset[str]
    labels: frozenset[str] = frozenset({"*"})

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "groups": [],
            "permissions": sorted(self.permissions),
            "authorized-labels": sorted(self.labels),
        }


ANONYMOUS = Profile("", frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class AuthorizationPlugin:
    """The plugin with its defaults and the ``Authorization`` section of a configuration.

    :param labels: the labels of studies, by the identifiers of their resources.
    """

    section: Mapping[str, Any]
    dicomweb_root: str = "/dicom-web/"
    labels: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def allows(self, method: str, uri: str, profile: Profile) -> bool:
        """Whether a request reaches Orthanc. :param uri: the path, without a query."""
        if method == "GET" and (
            uri in self.section.get("UncheckedResources", ())
            or any(uri.startswith(folder) for folder in self.section.get("UncheckedFolders", ()))
        ):
            return True
        required = self._required(method, uri)
        if required is None or (required and not required & profile.permissions):
            return False
        return "*" in profile.labels or self._has_label(uri, profile)

    def _required(self, method: str, uri: str) -> set[str] | None:
        """The permissions of which one is needed, by the first pattern that fits; None: no pattern does."""
        root = self.dicomweb_root.strip("/")
        entries = [
            *self.section.get("Permissions", _DEFAULTS["Permissions"]),
            *self.section.get("ExtraPermissions", ()),
        ]
        for of_method, pattern, permissions in entries:
            single = pattern == "SINGLE_RESOURCE_PATTERNS"
            for each in _DEFAULTS["SingleResourcePatterns"] if single else [pattern]:
                if of_method == method.lower() and re.fullmatch(each.replace("DICOM_WEB_ROOT", root), uri):
                    return set(permissions.split("|")) if permissions else set()
        return None

    def _has_label(self, uri: str, profile: Profile) -> bool:
        """Whether the resource has one of the user's labels, as with ``"CheckedLevel": "studies"``, if any."""
        match = re.fullmatch(_DEFAULTS["SingleResourcePatterns"][0], uri)
        return match is None or bool(self.labels.get(match[2], frozenset()) & profile.labels)
