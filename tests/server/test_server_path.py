"""Packages of the virtual environment that are named like modules of the standard library."""

from __future__ import annotations

import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_fixtures import derive


def test_a_backport_in_the_environment_replaces_no_standard_module(
    orthanc_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages bring backports along (rt-utils: dataclasses): neither Orthanc nor a worker loads them."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/*/site-packages")
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in ("dataclasses", "enum", "typing", "pathlib"):
        (packages / f"{name}.py").write_text(f"raise ImportError('the backport of {name} was loaded')\n")
    monkeypatch.setattr(sys, "prefix", str(environment))
    folder = tmp_path / "orthanc"
    folder.mkdir()
    with OrthancServer(folder) as server:
        assert derive(server, server.upload(ct_phantom(slices=3)), Pipeline="gaussian_smoothing")["InstancesCount"] == 3
        assert str(environment) in Path(f"/proc/{server.children()[0]}/cmdline").read_text("utf-8", "replace")
