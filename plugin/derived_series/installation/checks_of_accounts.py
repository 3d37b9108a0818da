"""Who Orthanc runs as, where nobody says so."""

from __future__ import annotations

import pwd
from pathlib import Path

from derived_series.installation.configuration import Configuration
from derived_series.installation.rights import Account
from derived_series.orthanc.config import OrthancConfiguration

#: Below it are the files of packages, whose Orthanc runs as the packages' user.
_PACKAGES = Path("/etc")


def account_of(name: str | None, configuration: Configuration) -> Account:
    """The account of this name; else, of a configuration of one's own, whom its storage belongs to: Orthanc made that.

    Before there is a storage, and for the packages' configuration, it is Debian's account.

    :raises KeyError: no such user.
    """
    if name is None and configuration.merged and _PACKAGES not in configuration.path.resolve().parents:
        storage = OrthancConfiguration.of(dict(configuration.merged), configuration.path).storage
        if storage.is_dir():
            return Account.of(pwd.getpwuid(storage.stat().st_uid).pw_name)
    return Account.of(name)
