"""``derived-series doctor`` finds what is wrong with a configuration, and says what to do about each."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import resources
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from derived_series.__main__ import main
from derived_series.errors import DerivedSeriesError
from derived_series.installation import checks_of_database
from derived_series.installation.checks_of_accounts import account_of
from derived_series.installation.checks_of_files import SetUp, check_files
from derived_series.installation.configuration import read_configuration
from derived_series.installation.finding import Finding, Severity
from derived_series.installation.rights import Account
from derived_series.machines import certificates as certificates_module
from derived_series.machines.certificates import make_certificates
from orthanc_folder import PYTHON, plugin_files, sound_sections, write_folder
from orthanc_server import free_port

Sections = dict[str, Any]
GIGABYTE = 1 << 30
OURSELVES = Account("ourselves", 0, frozenset())


def diagnosed(folder: Path, account: Account = OURSELVES, free: int = 100 * GIGABYTE) -> list[Finding]:
    return check_files(SetUp(read_configuration(folder), account, lambda path: free))


def test_a_sound_set_up_has_no_finding(tmp_path: Path) -> None:
    assert diagnosed(write_folder(tmp_path / "orthanc", {"orthanc.json": sound_sections(tmp_path)})) == []


def test_a_tag_of_orthancs_own_dictionary_is_a_tag(tmp_path: Path) -> None:
    sections = sound_sections(tmp_path)
    dictionary = {"0009,1001": ["LO", "OwnTag", 1, 1, "Creator"]}
    fires({"OwnTag": "1", "0008,0060": "CT", "Modality": "CT"}, Dictionary=dictionary)(sections, tmp_path)
    assert diagnosed(write_folder(tmp_path / "orthanc", {"orthanc.json": sections})) == []


def other_script(sections: Sections, folder: Path) -> None:
    (folder / "theirs.py").write_text("print('hello')\n")
    sections["PythonScript"] = str(folder / "theirs.py")


ELSEWHERE = {"Scheduler": "tls://box:8786", "OrthancUrl": "https://orthanc.hospital.org"}


def elsewhere(sections: Sections, **keys: Any) -> None:
    """An environment of workers that may reach Orthanc."""
    sections["DerivedSeries"].update(Environments={"gpu": {**ELSEWHERE, **keys}})
    sections.update(RemoteAccessAllowed=True, AuthenticationEnabled=True, RegisteredUsers={"worker": "long and secret"})


def bare_python(folder: Path) -> str:
    """A Python that has nothing but its own library."""
    venv.create(folder / "bare")
    return str(folder / "bare" / "bin" / "python")


def certificates(folder: Path, *, days: int = 825, key_of: str = "orthanc") -> str:
    """A machine's folder of certificates. :param days: that they last. :param key_of: the machine of its key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates_module, "_DAYS", days)
        make_certificates(folder / "machines", ["orthanc", "box"])
    ours = folder / "machines" / "orthanc"
    (ours / "key.pem").write_bytes((folder / "machines" / key_of / "key.pem").read_bytes())
    return str(ours)


def newer_jobs(sections: Sections, folder: Path) -> None:
    jobs = folder / "storage" / "derived-series"
    jobs.mkdir()
    database = sqlite3.connect(jobs / "jobs.sqlite")
    database.execute("PRAGMA user_version=99")
    database.close()


def without_environment(sections: Sections, folder: Path) -> None:
    script = folder / "copy" / "plugin" / "main.py"
    script.parent.mkdir(parents=True)
    script.write_text("from derived_series.orthanc.app import start\n")
    sections["PythonScript"] = str(script)


def authorization(sections: Sections, folder: Path) -> None:
    sections["Authorization"] = {
        "WebServiceRootUrl": "http://auth/",
        "ExtraPermissions": [["get", "^/derived-series/.*", "review"], ["post", "^/series/.*/derive", "derive"]],
    }


def notifies(**keys: Any) -> Callable[[Sections, Path], object]:
    """Adds a receiver."""
    return lambda sections, folder: sections["DerivedSeries"].update(Notify=[{"URL": "https://example.org/", **keys}])


def fires(match: dict[str, Any], **sections_beside: Any) -> Callable[[Sections, Path], object]:
    """Adds a rule, and sections of Orthanc's."""

    def change(sections: Sections, folder: Path) -> None:
        sections["DerivedSeries"]["Rules"] = [
            {"Name": "r", "Match": match, "Derive": {"Pipeline": "gaussian_smoothing"}}
        ]
        sections.update(sections_beside)

    return change


def rule_of(**derive: Any) -> Callable[[Sections, Path], object]:
    """Adds a rule that derives this."""
    rule = {"Name": "r", "Match": {"Modality": "CT"}, "Derive": derive}
    return lambda sections, folder: sections["DerivedSeries"].update(Rules=[rule])


def misspelt(sections: Sections, folder: Path) -> None:
    sections["DerivedSerie"] = sections.pop("DerivedSeries")


def of_pyenv(sections: Sections, folder: Path) -> None:
    without_environment(sections, folder)
    venv = folder / "copy" / ".venv"
    (venv / "lib" / f"python{PYTHON}" / "site-packages").mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin" / "python").touch()
    (venv / "pyvenv.cfg").write_text("home = /home/anna/.pyenv/versions/3.11.7/bin\n")


#: Broken set-ups: what was done to a sound one, the finding's name, and words of it.
BROKEN: dict[str, tuple[Callable[[Sections, Path], object], str, str]] = {
    "a rule of a pipeline that is not there": (rule_of(Pipeline="slwo"), "rules", "there is no pipeline 'slwo'"),
    "a rule with a parameter that is not there": (
        rule_of(Pipeline="gaussian_smoothing", Parameters={"Sigma": 1}),
        "rules",
        "parameters of pipeline 'gaussian_smoothing': unknown key 'Sigma'",
    ),
    "bounds of a pipeline that is not there": (
        lambda s, f: s["DerivedSeries"].update(Pipelines={"body_msak": {"Timeout": 5}}),
        "pipelines",
        "there is no pipeline 'body_msak'",
    ),
    "a section with another name": (misspelt, "settings", "nobody reads the section 'DerivedSerie'"),
    "a Python that is not the system's": (of_pyenv, "python version", "is of the Python in /home/anna/.pyenv"),
    "a rule on a tag that is not there": (fires({"Nope": "1"}), "rules", "there is no tag 'Nope' of the rule 'r'"),
    "a rule with an unusable expression": (fires({"Rows": {"Regex": "(?=a)"}}), "settings", "look-around"),
    "a rule that can never fire": (fires({"Rows": {"Min": 5, "Max": 1}}), "settings", "at least 5 and at most 1"),
    "no Python plugin": (
        lambda s, f: s["Plugins"].append(s["Plugins"].pop() + "/libOrthancDicomWeb.so"),
        "python plugin",
        "loads no libOrthancPython.so",
    ),
    "no DICOMweb plugin": (
        lambda s, f: (f / "plugins" / "libOrthancDicomWeb.so").unlink(),
        "dicomweb",
        "loads no libOrthancDicomWeb.so",
    ),
    "DICOMweb switched off": (lambda s, f: s["DicomWeb"].update(Enable=False), "dicomweb", "DicomWeb.Enable is false"),
    "no script": (lambda s, f: s.pop("PythonScript"), "python script", "no file sets PythonScript"),
    "a script that is gone": (
        lambda s, f: s.update(PythonScript="/nowhere/main.py"),
        "python script",
        "names /nowhere/main.py, which is not there",
    ),
    "another script": (other_script, "python script", "does not load this plugin"),
    "no environment": (without_environment, "environment", "has no virtual environment"),
    "no AllowThreads": (lambda s, f: s.pop("Python"), "allow threads", "Python.AllowThreads is not set"),
    "an unknown setting": (
        lambda s, f: s["DerivedSeries"].update(Wokers=2),
        "settings",
        "Wokers",
    ),
    "no folder of blueprints": (
        lambda s, f: s["DerivedSeries"]["BlueprintFolders"].append("/nowhere"),
        "blueprint folders",
        "names /nowhere",
    ),
    "without the ready blueprints": (
        lambda s, f: s["DerivedSeries"].update(BlueprintFolders=[str(f / "storage")]),
        "blueprint folders",
        "ready blueprints",
    ),
    "an environment that is gone": (
        lambda s, f: s["DerivedSeries"].update(Environments={"torch": {"Python": "/nowhere/python"}}),
        "environments",
        "torch: /nowhere/python",
    ),
    "an environment without this package": (
        lambda s, f: s["DerivedSeries"].update(Environments={"torch": {"Python": bare_python(f)}}),
        "environments",
        "cannot run this plugin's workers: ModuleNotFoundError: No module named 'derived_series'",
    ),
    "an environment that is no Python": (
        lambda s, f: s["DerivedSeries"].update(Environments={"torch": {"Python": "/bin/false"}}),
        "environments",
        "(/bin/false) is no Python that can run workers",
    ),
    "an environment with another program": (
        lambda s, f: s["DerivedSeries"].update(Environments={"torch": {"Python": "/bin/echo"}}),
        "environments",
        "(/bin/echo) is no Python that can run workers",
    ),
    "certificates that are gone": (
        lambda s, f: s["DerivedSeries"].update(
            Environments={"gpu": {"Scheduler": "tls://box:8786", "Certificates": "/nowhere"}}
        ),
        "environments",
        "gpu: /nowhere/ca.pem",
    ),
    "a scheduler without TLS": (
        lambda s, f: elsewhere(s, Scheduler="tcp://box:8786", AllowUnencrypted=True),
        "environments",
        "gpu: tcp://box:8786 is not encrypted",
    ),
    "workers elsewhere that cannot reach Orthanc": (
        lambda s, f: s["DerivedSeries"].update(
            Environments={"gpu": {"Scheduler": "tls://box:8786", "Certificates": certificates(f)}}
        ),
        "environments",
        "gpu: workers on other machines do not reach Orthanc at http://127.0.0.1",
    ),
    "a certificate of another key": (
        lambda s, f: elsewhere(s, Certificates=certificates(f, key_of="box")),
        "environments",
        "the key is of another certificate",
    ),
    "a certificate that ends soon": (
        lambda s, f: elsewhere(s, Certificates=certificates(f, days=20)),
        "environments",
        "cert.pem is valid until",
    ),
    "a certificate that has ended": (
        lambda s, f: elsewhere(s, Certificates=certificates(f, days=0)),
        "environments",
        "cert.pem is valid no more since",
    ),
    "more workers than processors": (
        lambda s, f: s["DerivedSeries"].update(Workers=64) or s.update(HttpThreadsCount=1000),
        "workers",
        "Workers is 64",
    ),
    "a storage that is compressed": (
        lambda s, f: s.update(StorageCompression=True),
        "compression",
        "StorageCompression is on",
    ),
    "few HTTP threads": (lambda s, f: s.update(HttpThreadsCount=4), "http threads", "HttpThreadsCount is 4"),
    "open to all": (
        lambda s, f: s.update(RemoteAccessAllowed=True, AuthenticationEnabled=False),
        "authentication",
        "may do everything",
    ),
    "no permission to review": (authorization, "authorization", "no permission for POST /series/1-2-3-4-5/review"),
    "a receiver without an address": (notifies(URL="hooks.example.org"), "settings", "Notify.0.URL: it is not a URL"),
    "a receiver of an unknown event": (notifies(Events=["Failed"]), "settings", "Notify.0.Events.0"),
    "a receiver's unknown key": (notifies(Secrets="x"), "settings", "unknown key 'Notify.0.Secrets'"),
    "a receiver's short secret": (notifies(Secret="short"), "settings", "Notify.0.Secret: it has 5 bytes"),
    "a receiver without a secret": (notifies(), "notify", "example.org has no Secret"),
    "a receiver by http": (notifies(URL="http://example.org/", Secret=None), "notify", "who is in between reads what"),
    "a receiver of patient data by http": (
        notifies(URL="http://example.org/", Secret=None, IncludePatientData=True),
        "notify",
        "who is in between reads patient data",
    ),
    "a receiver's certificates": (
        notifies(Secret=None, CaBundle="nowhere.pem"),
        "notify",
        "nowhere.pem cannot be read",
    ),
    "jobs of a newer version": (newer_jobs, "jobs", "is of a newer version of the plugin (99"),
}


def test_an_environment_with_this_package_has_no_finding(tmp_path: Path) -> None:
    sections = sound_sections(tmp_path)
    sections["DerivedSeries"].update(Environments={"torch": {"Python": sys.executable}})
    assert diagnosed(write_folder(tmp_path / "orthanc", {"orthanc.json": sections})) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs what another user may")
def test_the_python_of_an_environment_is_run_by_orthancs_user(tmp_path: Path) -> None:
    sections = sound_sections(tmp_path)
    with tempfile.TemporaryDirectory() as folder:  # which anyone may reach, as pytest's not
        Path(folder).chmod(0o755)
        python = Path(folder) / "python"
        python.write_text('#!/bin/sh\necho "{\\"Error\\": \\"run by $(id -u) $(id -G)\\"}"\n')
        python.chmod(0o755)
        sections["DerivedSeries"].update(Environments={"torch": {"Python": str(python)}})
        nobody = Account.of("nobody")
        findings = diagnosed(write_folder(tmp_path / "orthanc", {"orthanc.json": sections}), nobody)
    groups = " ".join(str(group) for group in sorted(nobody.groups))
    assert any(f"run by {nobody.uid} {groups}" in each.message for each in findings), findings


def findings_of_database(folder: Path, address: str) -> list[str]:
    sections = sound_sections(folder)
    sections["DerivedSeries"]["JobsDatabase"] = address
    findings = diagnosed(write_folder(folder / "orthanc", {"a.json": sections}))
    return [f"{each.name}: {each.message}" for each in findings]


def test_an_address_that_cannot_be_read_is_not_quoted(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    (only,) = findings_of_database(tmp_path, "postgresql://orthanc:pass%SEcret@db/orthanc")
    assert "it is not an address that PostgreSQL's library can read" in only and "SEcret" not in only


def test_a_database_is_asked_for_its_version_and_its_clock(
    tmp_path: Path, jobs_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert findings_of_database(tmp_path, jobs_address) == []
    (tmp_path / "later").mkdir()
    import psycopg

    with psycopg.connect(jobs_address) as connection:
        connection.execute("CREATE SCHEMA derived_series")
        connection.execute("CREATE TABLE derived_series.versions (one BIGINT, version BIGINT)")
        connection.execute("INSERT INTO derived_series.versions VALUES (1, 99)")
    clock = time.time
    monkeypatch.setattr(checks_of_database, "time", SimpleNamespace(time=lambda: clock() - 100))
    newer, ahead = findings_of_database(tmp_path / "later", jobs_address)
    assert "is of a newer version of the plugin (99" in newer and "100 s ahead" in ahead


def test_tables_of_another_user_are_told_of_by_the_doctor_and_at_the_start(tmp_path: Path, jobs_address: str) -> None:
    import psycopg

    from derived_series.jobs.queue.postgresql_database import PostgresqlDatabase

    PostgresqlDatabase(jobs_address, "orthanc-1").close()
    address = jobs_address.replace("tests@", "other:SEcret@")
    rights = [
        "SELECT",
        "GRANT USAGE ON SCHEMA derived_series TO other",
        "GRANT CREATE ON SCHEMA derived_series TO other",
    ]
    with psycopg.connect(jobs_address, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS other")
        connection.execute("CREATE ROLE other LOGIN")
        try:
            for number, right in enumerate(rights):
                connection.execute(right)
                (tmp_path / f"{number}").mkdir()
                (only,) = findings_of_database(tmp_path / f"{number}", address)
                assert "belongs to another user" in only
                with pytest.raises(DerivedSeriesError, match="refuses us") as refused:
                    PostgresqlDatabase(address, "orthanc-1")
                assert "let that user own it" in str(refused.value) and "SEcret" not in str(refused.value)
        finally:
            connection.execute("DROP OWNED BY other")
            connection.execute("DROP ROLE other")


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    (finding,) = findings_of_database(tmp_path, f"postgresql://me:secret@127.0.0.1:{free_port()}/jobs")
    assert "does not answer" in finding and "secret" not in finding


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_set_up_is_found_with_its_remedy(what: str, tmp_path: Path) -> None:
    breaking, name, words = BROKEN[what]
    sections = sound_sections(tmp_path)
    breaking(sections, tmp_path)
    (finding,) = diagnosed(write_folder(tmp_path / "orthanc", {"orthanc.json": sections}))
    assert finding.name == name and words in finding.message and finding.remedy


def test_the_permissions_that_the_package_ships_are_enough(tmp_path: Path) -> None:
    shipped = json.loads(resources.files("derived_series.orthanc").joinpath("authorization.json").read_text("utf-8"))
    sections = {**sound_sections(tmp_path), **shipped}
    sections["Authorization"]["WebServiceRootUrl"] = "http://auth/"
    assert diagnosed(write_folder(tmp_path / "orthanc", {"orthanc.json": sections})) == []
    sections["Authorization"].pop("ExtraPermissions")
    (tmp_path / "orthanc" / "orthanc.json").write_text(json.dumps(sections))
    (finding,) = diagnosed(tmp_path / "orthanc")
    assert finding.name == "authorization" and "GET /derived-series/status" in finding.message


def test_another_python_than_orthancs(tmp_path: Path) -> None:
    sections = sound_sections(tmp_path)
    sections["Plugins"] = [str(plugin_files(tmp_path / "others", python="3.99"))]
    (finding,) = diagnosed(write_folder(tmp_path / "orthanc", {"orthanc.json": sections}))
    assert finding.name == "python version" and "runs Python 3.99" in finding.message and "python3.99" in finding.remedy


def test_a_plugin_without_threads_is_not_asked_for_them(tmp_path: Path) -> None:
    sections = sound_sections(tmp_path)
    sections["Plugins"] = [str(plugin_files(tmp_path / "others", version="4.0"))]
    del sections["Python"]
    assert diagnosed(write_folder(tmp_path / "orthanc", {"orthanc.json": sections})) == []


def test_files_that_orthanc_refuses_are_all_that_is_told(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "orthanc", {"a.json": {"Name": "x"}, "b.json": {"Name": "y", "PythonScript": "z"}})
    (finding,) = diagnosed(folder)
    assert finding.name == "configuration" and "Name is set in" in finding.message


def test_receivers_that_are_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret by a variable; null for one that checks none."""
    monkeypatch.setenv("NOTIFY_SECRET", "a secret of some length")
    monkeypatch.setenv("CHAT_URL", "https://chat.example.org/hook")
    sections = sound_sections(tmp_path)
    receivers = [
        {"URL": "https://example.org/", "Secret": "${NOTIFY_SECRET}"},
        {"URL": "${CHAT_URL}", "Name": "chat", "Secret": None},
        {"URL": "http://localhost:9000/", "Secret": None},
    ]
    sections["DerivedSeries"]["Notify"] = receivers
    assert diagnosed(write_folder(tmp_path / "orthanc", {"orthanc.json": sections})) == []


@pytest.mark.parametrize(("free", "severity"), [(GIGABYTE // 2, Severity.ERROR), (5 * GIGABYTE, Severity.WARNING)])
def test_a_full_disk(free: int, severity: Severity, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "orthanc", {"orthanc.json": sound_sections(tmp_path)})
    (finding,) = diagnosed(folder, free=free)
    assert (finding.name, finding.severity) == ("disk", severity) and "GB left" in finding.message


def test_a_storage_that_orthancs_user_may_not_write(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "orthanc", {"orthanc.json": sound_sections(tmp_path)})
    findings = diagnosed(folder, Account("orthanc", 54321, frozenset()))
    assert any(
        finding.name == "rights" and f"{tmp_path / 'storage'} cannot be written by the user orthanc" in finding.message
        for finding in findings
    )


def test_a_file_of_ones_own_is_judged_by_whom_its_storage_belongs_to(tmp_path: Path) -> None:
    """Debian's account is for Debian's folder: `make run` of root keeps what it has written as root."""
    folder = write_folder(tmp_path / "orthanc", {"orthanc.json": sound_sections(tmp_path)})
    configuration = read_configuration(folder / "orthanc.json")
    assert account_of(None, configuration).uid == os.getuid()
    if os.getuid() == 0:
        os.chown(tmp_path / "storage", 1, 1)
        assert account_of(None, configuration).uid == 1
    assert account_of("root", configuration).uid == 0
    with pytest.raises(KeyError):
        account_of("nobody of this name", configuration)


def test_variables_that_are_not_set_here_are_named_where_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = sound_sections(tmp_path)
    script = sections["PythonScript"]
    sections["PythonScript"] = "${NOT_SET_HERE:-.}/main.py"  # and a default that is elsewhere
    folder = write_folder(tmp_path / "orthanc", {"orthanc.json": sections})
    variables, wrong = diagnosed(folder)
    assert (variables.name, wrong.name) == ("variables", "python script")
    assert "NOT_SET_HERE" in variables.message and variables.severity is Severity.WARNING
    monkeypatch.setenv("NOT_SET_HERE", str(Path(script).parent))
    assert diagnosed(folder) == []


def test_rights_are_those_of_owner_group_and_others(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    file.chmod(0o640)
    owner, group = file.stat().st_uid + 7, file.stat().st_gid
    assert not Account("other", owner, frozenset())._has(file, os.R_OK)
    assert Account("member", owner, frozenset([group]))._has(file, os.R_OK)
    assert not Account("member", owner, frozenset([group]))._has(file, os.W_OK)


def test_the_command_answers_json_and_its_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sections = sound_sections(tmp_path)
    folder = write_folder(tmp_path / "orthanc", {"orthanc.json": sections})
    root = ["doctor", "--orthanc", str(folder), "--offline", "--as", "root", "--json"]
    errors = [each for each in json.loads(_output(root, capsys, 0))["Findings"] if each["Severity"] == "Error"]
    assert errors == []
    sections["DicomWeb"] = {"Enable": False}
    (folder / "orthanc.json").write_text(json.dumps(sections))
    names = [each["Name"] for each in json.loads(_output(root, capsys, 1))["Findings"]]
    assert "dicomweb" in names
    assert "set it to true" in _output(root[:-1], capsys, 1), "the remedy"
    assert main(["doctor"]) == 2


def _output(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int) -> str:
    assert main(arguments) == status
    return capsys.readouterr().out


def test_a_server_that_does_not_run_and_another_program_on_its_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        port = other.server_port
        sections = {**sound_sections(tmp_path), "HttpPort": port}
        folder = write_folder(tmp_path / "orthanc", {"orthanc.json": sections})
        thread = Thread(target=other.serve_forever, args=[0.01])
        thread.start()
        assert f"http://127.0.0.1:{port} is not Orthanc" in _output(["doctor", "--orthanc", str(folder)], capsys, 1)
        other.shutdown()
        thread.join()
    assert f"nothing listens at http://127.0.0.1:{port}" in _output(["doctor", "--orthanc", str(folder)], capsys, 1)
    by_url = _output(["doctor", "--url", f"http://127.0.0.1:{port}"], capsys, 1)
    assert f"nothing listens at http://127.0.0.1:{port}" in by_url and "retries" not in by_url
