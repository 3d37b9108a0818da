"""What `make run` does, on a free port and with a storage folder of its own."""

from __future__ import annotations

import gc
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

import sample
import server
from orthanc_server import REPOSITORY, OrthancServer, free_port

#: The server outlives the object that started it, on purpose.
pytestmark = [pytest.mark.sqlite, pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")]


@pytest.fixture
def base(orthanc_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL where the server of the repository's own configuration will be; it is stopped at the end."""
    config = json.loads((REPOSITORY / "orthanc.json").read_text("utf-8"))
    config["HttpPort"] = free_port()
    path = tmp_path / "orthanc.json"
    path.write_text("/* comments are allowed */\n// here, too\n" + json.dumps(config))
    run = tmp_path / "run"
    for name, value in {"CONFIG": path, "RUN": run, "PID_FILE": run / "pid", "LOG": run / "log"}.items():
        monkeypatch.setattr(server, name, value)
    monkeypatch.setenv("DERIVED_SERIES_HOME", str(REPOSITORY))
    monkeypatch.delenv("DERIVED_SERIES_STORAGE", raising=False)
    try:
        yield f"http://127.0.0.1:{config['HttpPort']}"
    finally:
        server.stop()
        gc.collect()  # the objects of the servers, here, where the warning that they have is expected


def test_it_can_be_run_twice(base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["start"]) == 0
    assert base in capsys.readouterr().out
    first = server.running_pid()
    assert (tmp_path / ".run" / "storage").is_dir(), "the storage folder is relative to the configuration file"
    assert requests.get(base + "/derived-series/status", timeout=10).json()["Problems"] == []
    assert sample.main() == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert " HU\n" in printed and "hnsf" not in printed
    derived = requests.get(base + "/series", timeout=10).json()
    assert len(derived) == 4, "the parent, a smoothed series, a mask and the masked images"
    pasted = dict(re.findall(r"^sample: +(PARENT|DERIVED)=(\S+)$", printed, re.MULTILINE))
    assert len(pasted) == 2 and set(pasted.values()) < set(derived)

    assert server.main(["start"]) == 0
    assert "restarting" in capsys.readouterr().out
    assert server.running_pid() not in (None, first)
    assert sample.main() == 0
    assert sorted(requests.get(base + "/series", timeout=10).json()) == sorted(derived), "nothing is derived twice"

    assert server.main(["stop"]) == 0
    assert server.running_pid() is None
    assert server.main(["stop"]) == 0
    assert "was not running" in capsys.readouterr().out


def test_a_port_that_is_taken_is_named(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    port = int(base.rpartition(":")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert server.main(["start"]) == 1
    assert f"port {port} is taken by another program" in capsys.readouterr().err
    assert server.running_pid() is None


def test_a_wrong_setting_is_shown(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = server.settings()
    config["DerivedSeries"]["Wokers"] = 2
    server.CONFIG.write_text(json.dumps(config))
    assert server.main(["start"]) == 1
    printed = capsys.readouterr().err
    assert "unknown key 'Wokers'" in printed and "File " not in printed, "the message, not the traceback"
    assert server.running_pid() is None


def test_a_number_that_another_process_has_got_is_not_ours(base: str) -> None:
    server.RUN.mkdir()
    server.PID_FILE.write_text("1\n")
    assert server.running_pid() is None
    assert server.stop() is False and not server.PID_FILE.exists()


def test_broken_configuration(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    server.CONFIG.write_text("{")
    assert server.main(["start"]) == 1
    assert "orthanc.json is not JSON" in capsys.readouterr().err


def test_the_servers_of_the_tests_have_the_plugin(empty_orthanc: OrthancServer) -> None:
    assert empty_orthanc.series_ids() == set()
    assert empty_orthanc.json("/derived-series/status")["Problems"] == []
