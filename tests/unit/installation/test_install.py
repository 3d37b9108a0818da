"""``derived-series install`` writes one file, says what else there is to do, and touches nothing of the user's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from derived_series.__main__ import main
from derived_series.installation.configuration import read_configuration
from derived_series.installation.places import plugin_script, ready_blueprints
from orthanc_folder import debians_files, plugin_files, write_folder


@pytest.fixture
def debians(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "orthanc", debians_files(plugin_files(tmp_path / "plugins")))


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in folder.iterdir() if path.is_file()}


def written(folder: Path) -> dict[str, Any]:
    sections: dict[str, Any] = json.loads((folder / "derived-series.json").read_text("utf-8"))
    return sections


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_without_yes_it_shows_the_file_and_writes_nothing(debians: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(debians)
    assert run("install", "--orthanc", debians) == 0
    assert contents(debians) == before and not (debians / "blueprints").exists()
    output = capsys.readouterr().out
    assert f"{debians / 'derived-series.json'} would be written" in output and "Nothing was written" in output
    assert json.dumps(str(ready_blueprints())) in output


def test_beside_debians_files_it_writes_what_they_do_not_say(debians: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They name an example as PythonScript: Orthanc takes one script, and one file that names it."""
    before = contents(debians)
    assert run("install", "--orthanc", debians, "--yes") == 1, "a step is left"
    folders = [str(ready_blueprints()), str(debians / "blueprints")]
    assert written(debians) == {"Python": {"AllowThreads": True}, "DerivedSeries": {"BlueprintFolders": folders}}
    assert {name: text for name, text in contents(debians).items() if name in before} == before
    assert (debians / "blueprints").is_dir()
    assert (debians / "derived-series.json").stat().st_mode & 0o777 == 0o644, "Orthanc's user reads it"
    output = capsys.readouterr().out
    sed = f"""sed -i 's#"/etc/orthanc/sample.py"#"{plugin_script()}"#' {debians / "python.json"}"""
    assert sed in output and f"runpy.run_path({str(plugin_script())!r})" in output


@pytest.mark.parametrize("how", ["named", "chained"])
def test_with_the_script_in_its_place_nothing_is_left_to_do(debians: Path, tmp_path: Path, how: str) -> None:
    script = plugin_script()
    if how == "chained":
        script = tmp_path / "theirs.py"
        script.write_text(f"import runpy\nplugin = runpy.run_path({str(plugin_script())!r})\n")
    (debians / "python.json").write_text(json.dumps({"PythonScript": str(script)}))
    assert run("install", "--orthanc", debians, "--yes") == 0
    merged = read_configuration(debians)
    assert merged.problems == () and merged.merged["PythonScript"] == str(script)


def test_where_nothing_is_said_the_file_says_all(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "orthanc", {"orthanc.json": {"Name": "x"}})
    assert run("install", "--orthanc", folder, "--yes") == 0
    sections = written(folder)
    assert sections["PythonScript"] == str(plugin_script()) and sections["DicomWeb"]["Enable"] is True
    assert sections["Plugins"] == ["/usr/share/orthanc/plugins"] and "Name" not in sections


def test_a_second_time_changes_nothing_and_an_upgrade_keeps_what_was_added(debians: Path) -> None:
    run("install", "--orthanc", debians, "--yes")
    first = contents(debians)
    run("install", "--orthanc", debians, "--yes")
    assert contents(debians) == first
    theirs = written(debians)
    theirs["DerivedSeries"] |= {"Workers": 7, "BlueprintFolders": ["/old/derived_series_plugin/blueprints", "/mine"]}
    theirs["Housekeeper"] = {"Enable": True}
    (debians / "derived-series.json").write_text(json.dumps(theirs))
    run("install", "--orthanc", debians, "--yes")
    section = written(debians)["DerivedSeries"]
    assert section == {"Workers": 7, "BlueprintFolders": [str(ready_blueprints()), "/mine"]}
    assert written(debians)["Housekeeper"] == {"Enable": True}
    assert json.loads(contents(debians)["derived-series.json.before"]) == theirs, "the former file is kept"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"DicomWeb": {"Enable": False}}, "set DicomWeb.Enable to true"),
        ({"Python": {"Verbose": True}}, 'add "AllowThreads": true'),
        ({"DerivedSeries": {"Workers": 3}}, "DerivedSeries.BlueprintFolders lacks"),
        ({"Plugins": ["/nowhere"]}, "Plugins leads to no libOrthancPython.so"),
    ],
)
def test_what_a_users_file_has_to_say_otherwise_is_told(
    section: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "orthanc", {"theirs.json": section})
    assert run("install", "--orthanc", folder, "--yes") == 1
    output = capsys.readouterr().out
    assert words in output and str(folder / "theirs.json") in output
    assert not set(section) & set(written(folder)), "Orthanc takes each section from one file"


def test_another_python_than_orthancs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "orthanc", debians_files(plugin_files(tmp_path / "plugins", python="3.99")))
    assert run("install", "--orthanc", folder, "--yes") == 2
    assert "runs Python 3.99" in capsys.readouterr().err and not (folder / "derived-series.json").exists()


def test_one_file_and_files_that_orthanc_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "orthanc", {"a.json": {"Name": "x"}, "b.json": {"Name": "y"}})
    assert run("install", "--orthanc", folder / "a.json", "--yes") == 2
    assert "is one file" in capsys.readouterr().err
    assert run("install", "--orthanc", folder, "--yes") == 2
    assert "Name is set in" in capsys.readouterr().err
    assert set(contents(folder)) == {"a.json", "b.json"}


def test_uninstalling_deletes_nothing_of_the_users(debians: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (debians / "python.json").write_text(json.dumps({"PythonScript": str(plugin_script())}))
    run("install", "--orthanc", debians, "--yes")
    installed = contents(debians)
    assert run("uninstall", "--orthanc", debians) == 0 and contents(debians) == installed, "without --yes"
    (debians / "blueprints" / "mine.py").write_text("")
    assert run("uninstall", "--orthanc", debians, "--yes") == 0
    assert contents(debians)["derived-series.json.removed"] == installed["derived-series.json"]
    assert "derived-series.json" not in contents(debians) and (debians / "blueprints" / "mine.py").exists()
    assert f"{debians / 'python.json'} still names {plugin_script()}" in capsys.readouterr().out
    assert run("uninstall", "--orthanc", debians, "--yes") == 2
