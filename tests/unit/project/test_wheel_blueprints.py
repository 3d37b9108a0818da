"""The wheel has the package's own blueprints, and none that somebody has put beside them in a checkout."""

from __future__ import annotations

import subprocess
import tomllib

import pytest

from orthanc_server import REPOSITORY


def test_the_wheel_names_each_tracked_blueprint_and_no_folder() -> None:
    done = subprocess.run(
        ["git", "ls-files", "blueprints"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if done.returncode or not done.stdout:
        pytest.skip("this is no checkout")
    build = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]
    packed = build["wheel"]["force-include"]
    names = {name for name in packed if name.startswith("blueprints")}
    assert names == set(done.stdout.split()), "list each blueprint in pyproject.toml"
    assert all(packed[name] == f"derived_series_plugin/{name}" for name in names)
