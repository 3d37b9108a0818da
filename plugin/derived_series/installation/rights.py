"""What the account that Orthanc runs under may do with a path."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

#: The account of Debian's package.
ORTHANCS = "orthanc"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the system, with its groups."""

    name: str
    uid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, name: str | None) -> Account:
        """The account of this name, else Debian's for Orthanc, else who asks. :raises KeyError: no such user."""
        if name is None:
            try:
                return cls.of(ORTHANCS)
            except KeyError:
                return cls.of(pwd.getpwuid(os.getuid()).pw_name)
        entry = pwd.getpwnam(name)
        members = [group.gr_gid for group in grp.getgrall() if name in group.gr_mem]
        return cls(name, entry.pw_uid, frozenset([entry.pw_gid, *members]))

    def may(self, path: Path, wanted: int) -> bool:
        """Whether it has the rights (``os.R_OK`` and the others) on a path, and reaches it through its folders."""
        path = path.resolve()
        return self._has(path, wanted) and all(self._has(folder, os.X_OK) for folder in path.parents)

    def _has(self, path: Path, wanted: int) -> bool:
        if self.uid == 0:
            return True
        stat = path.stat()
        shift = 6 if stat.st_uid == self.uid else 3 if stat.st_gid in self.groups else 0
        return (stat.st_mode >> shift) & wanted == wanted
