"""What Orthanc's authorization plugin decides, in Python: its patterns, its default permissions and its order of looks.

A stand-in for tests, where no package brings the plugin itself. Of ``FilterHttpRequests`` in its Plugin.cpp it has what
is about users: unchecked resources and folders, permissions by method and pattern, the first that fits, and labels of
the resource that the address names. Tokens for single resources, which users share with others, are not in it.
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
    """A user, as ``GET /auth/user/profile`` tells.

    :param labels: which studies by their labels; ``*``: all.
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
    """The plugin with the ``Authorization`` section of a configuration laid over its defaults.

    :param labels: labels of studies by the identifiers of resources that are in them.
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
        """The permissions one of which is needed, by the first pattern that fits; None: no pattern does."""
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
        """As with ``"CheckedLevel": "studies"``: what names no resource has no labels, and is not looked at."""
        match = re.fullmatch(_DEFAULTS["SingleResourcePatterns"][0], uri)
        return match is None or bool(self.labels.get(match[2], frozenset()) & profile.labels)
