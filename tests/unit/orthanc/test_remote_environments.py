"""Environments on other machines as the configuration has them, and the commands that these machines run."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import Any

import pytest

import derived_series.machines.machine_commands as commands
import derived_series.orthanc.remote_environments as places
from derived_series.__main__ import main
from derived_series.errors import InvalidRequest
from derived_series.jobs.pool.launch import Interpreter
from derived_series.jobs.remote.attempts import Attempts
from derived_series.jobs.remote.bundles import Bundles
from derived_series.machines.certificates import make_certificates
from derived_series.orthanc.config import OrthancConfiguration, Settings

UNENCRYPTED = {"Scheduler": "tcp://box:8786", "AllowUnencrypted": True}
ELSEWHERE = {**UNENCRYPTED, "OrthancUrl": "https://orthanc:8042"}


def environments(folder: Path, environment: dict[str, Any], **around: Any) -> dict[str, Any]:
    settings = Settings.of({"Environments": {"gpu": environment}})
    configuration = OrthancConfiguration.of({"RemoteAccessAllowed": True, **around}, folder)
    interpreter, bundles = Interpreter.ours(), Bundles([])
    return places.remote_environments(settings, configuration, interpreter, Attempts(), bundles, folder / "kept")


def test_one_is_made_of_what_is_said_of_it(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["orthanc"])
    made_of = {**ELSEWHERE, "CaBundle": "orthanc/ca.pem", "Workers": 3, "Resources": {"GPU": 1}}
    environment = environments(tmp_path, made_of)["gpu"]
    status = environment.status()
    assert (status["Scheduler"], status["Workers"], status["Resources"]) == ("tcp://box:8786", 3, {"GPU": 1})
    assert environment.executor._cluster.ca_bundle == (tmp_path / "orthanc" / "ca.pem").read_text(), (
        "the certificates travel, not where they are"
    )
    assert environments(tmp_path, {"Python": "python"}) == {}


def test_what_is_not_encrypted_is_warned_of_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environments(tmp_path, {"Scheduler": "tcp://127.0.0.1:8786"})
    assert caplog.text == ""
    environments(tmp_path, ELSEWHERE)
    assert "what is sent to tcp://box:8786 is not encrypted" in caplog.text


@pytest.mark.parametrize(
    ("environment", "around", "words"),
    [
        (UNENCRYPTED, {}, "do not reach Orthanc at http://127.0.0.1:8042"),
        (ELSEWHERE, {"RemoteAccessAllowed": False}, "Orthanc serves this machine only"),
        ({**ELSEWHERE, "CaBundle": "nothing.pem"}, {}, "nothing.pem cannot be read"),
        ({**ELSEWHERE, "Scheduler": "tls://box:1", "Certificates": "none"}, {}, "ca.pem cannot be read"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(
    tmp_path: Path, environment: dict[str, Any], around: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        environments(tmp_path, environment, **around)


TLS = {**ELSEWHERE, "Scheduler": "tls://box:1", "Certificates": "box"}


@pytest.mark.parametrize(
    ("environment", "file", "content", "words"),
    [
        (TLS, "box/ca.pem", "nonsense", "ca.pem cannot be used: there is nothing of this kind in it"),
        (TLS, "box/ca.pem", b"\xff\xfe", "ca.pem cannot be read: it is not text"),
        (TLS, "box/cert.pem", "nonsense", "cert.pem and .*key.pem cannot be used: there is nothing of this kind"),
        (TLS, "box/key.pem", "other/key.pem", "key.pem cannot be used: the key is of another certificate"),
        ({**ELSEWHERE, "CaBundle": "bundle.pem"}, "bundle.pem", "nonsense", "bundle.pem holds no certificates in PEM"),
    ],
)
def test_certificates_that_cannot_be_used_are_refused_at_the_start(
    tmp_path: Path, environment: dict[str, Any], file: str, content: str | bytes, words: str
) -> None:
    make_certificates(tmp_path, ["box", "other"])
    environments(tmp_path, TLS)
    if isinstance(content, str) and (tmp_path / content).is_file():
        content = (tmp_path / content).read_bytes()
    (tmp_path / file).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InvalidRequest, match=words) as refused:
        environments(tmp_path, environment)
    assert refused.value.message.startswith("Environments: gpu: ") and refused.value.remedy


def test_a_key_that_orthancs_user_may_not_read_is_told_of_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_certificates(tmp_path, ["box"])

    def forbidden(path: Path, *arguments: Any, **keys: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", forbidden)
    with pytest.raises(InvalidRequest, match="cannot be read: Permission denied") as refused:
        environments(tmp_path, TLS)
    assert refused.value.remedy == "let Orthanc's user read it: chown"


def test_without_the_extra_only_a_scheduler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "find_spec", lambda name: None)
    assert environments(tmp_path, {"Python": "python"}) == {}
    with pytest.raises(InvalidRequest, match=r"needs the extra \[dask\], which is not installed"):
        environments(tmp_path, ELSEWHERE)


def test_the_commands_say_what_is_lacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []

    def run(arguments: list[str]) -> int:
        ran.append(arguments)
        return 0

    monkeypatch.setattr(commands, "_dask", run)
    monkeypatch.setattr(commands, "obstacle", lambda address, files: "its name is not known here")
    worker = ["worker", "tls://box:8786", "--scratch", str(tmp_path / "scratch")]
    assert main(worker) == 2 and "needs --certificates" in capsys.readouterr().err
    assert main([*worker, "--certificates", str(tmp_path)]) == 2
    assert "ca.pem is not there" in capsys.readouterr().err
    for unencrypted in (["worker", "tcp://box:8786", *worker[2:]], ["scheduler"], ["scheduler", "--host", "::"]):
        assert main(unencrypted) == 2 and "not encrypted" in capsys.readouterr().err
    assert ran == []
    for of_one_machine in (["worker", "tcp://127.0.0.1:8786", *worker[2:]], ["scheduler", "--host", "::1"]):
        assert main(of_one_machine) == 0
    assert main(["scheduler", "--allow-unencrypted"]) == 0 and len(ran) == 3
    ran.clear()
    assert main(["certificates", str(tmp_path / "all"), "box"]) == 0
    assert main([*worker, "--certificates", str(tmp_path / "all" / "box"), "--resources", "GPU=1"]) == 0
    assert "is not reached yet: its name is not known here" in capsys.readouterr().err
    assert main(["scheduler", "--certificates", str(tmp_path / "all" / "box")]) == 0
    (of_worker, of_scheduler) = ran
    assert [of_worker[of_worker.index(each) + 1] for each in ("--nthreads", "--worker-port")] == ["1", "8788:8797"]
    assert of_scheduler[of_scheduler.index("--port") + 1] == "8786"
    monkeypatch.setattr(commands, "find_spec", lambda name: None)
    assert main(worker) == 2 and "of the extra [dask] is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["box:8786"], "not the address of a scheduler"),
        (["http://box:8786"], "not the address of a scheduler"),
        (["tcp://127.0.0.1:1", "--certificates", "."], "for a scheduler with tls://"),
        (["tcp://127.0.0.1:1", "--resources", "GPU"], "--resources 'GPU': not NAME=N"),
        (["tcp://127.0.0.1:1", "--resources", "GPU=one"], "not NAME=N"),
        (["tcp://127.0.0.1:1", "--resources", "GPU=-1"], "not NAME=N"),
        (["tcp://127.0.0.1:1", "--port", "abc"], "--port 'abc'"),
        (["tcp://127.0.0.1:1", "--scratch", "/proc/nowhere"], "--scratch /proc/nowhere cannot be used"),
        (["tcp://127.0.0.1:1", "--scratch", "/dev/null"], "--scratch /dev/null cannot be used"),
        (["tcp://127.0.0.1:1", "--credentials", "/nowhere"], "the file of credentials /nowhere cannot be read"),
        (["tcp://127.0.0.1:1", "--credentials", "empty"], "has neither user:password nor Name: value"),
        (["tls://box:8786", "--certificates", "mixed"], "the key is of another certificate"),
    ],
)
def test_what_a_worker_cannot_work_with_is_told_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "obstacle", lambda address, files: None)
    make_certificates(tmp_path, ["mixed", "other"])
    (tmp_path / "mixed" / "key.pem").write_bytes((tmp_path / "other" / "key.pem").read_bytes())
    (tmp_path / "empty").write_text("# nobody yet\n")
    (tmp_path / "empty").chmod(0o600)
    monkeypatch.setattr(commands, "_dask", lambda arguments: 0)
    assert main(["worker", "--scratch", "scratch", *arguments]) == 2
    line = capsys.readouterr().err
    assert words in line and line.count("\n") == 1


def test_certificates_are_of_one_authority_which_is_kept(tmp_path: Path) -> None:
    first = make_certificates(tmp_path, ["orthanc", "10.0.0.7"])
    authority = (tmp_path / "ca" / "ca.pem").read_text()
    assert [each.name for each in first] == ["orthanc", "10.0.0.7"]
    (later,) = make_certificates(tmp_path, ["orthanc", "box"])
    assert later.name == "box" and (tmp_path / "ca" / "ca.pem").read_text() == authority
    for folder in (*first, later):
        assert (folder / "ca.pem").read_text() == authority
        assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert not (tmp_path / "box" / "ca-key.pem").exists()
    for name in ("../x", "ca", ""):
        with pytest.raises(InvalidRequest, match="not the name of a machine"):
            make_certificates(tmp_path, [name])


@pytest.mark.parametrize(("ours", "trusted"), [("one", True), ("another", False)])
def test_only_machines_of_the_authority_are_let_in(tmp_path: Path, ours: str, trusted: bool) -> None:
    for authority in ("one", "another"):
        make_certificates(tmp_path / authority, ["box", "orthanc"])
    there, here = tmp_path / "one" / "box", tmp_path / ours / "orthanc"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.create_default_context(cafile=str(there / "ca.pem"))
    for context, folder in ((server, there), (client, here)):
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server.load_verify_locations(there / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    for context in (server, client):
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python does from 3.13 on
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="box"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]

    def shake() -> None:
        for _ in range(6):
            for end in ends:
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue

    if trusted:
        shake()
        assert ends[1].getpeercert() is not None
    else:
        with pytest.raises(ssl.SSLError):
            shake()
