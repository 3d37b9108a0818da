"""Starts and stops the Orthanc of this repository: `server.py start`, `server.py stop`.

It runs in the background with `orthanc.json`; its process id, log and storage are in `.run/`. A start while it runs
restarts it with the new blueprints, pipelines and settings.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "orthanc.json"
RUN = ROOT / ".run"
PID_FILE, LOG = RUN / "orthanc.pid", RUN / "orthanc.log"
STATUS = "/derived-series/status"
START_SECONDS, STOP_SECONDS = 60, 20


class ServerError(Exception):
    """Orthanc could not be started or stopped; the message says why and what to do."""


def settings() -> dict[str, Any]:
    """The settings in `orthanc.json`, without comments, which Orthanc allows."""
    text = re.sub(r"/\*.*?\*/|^\s*//[^\n]*", "", CONFIG.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    try:
        config: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ServerError(f"{CONFIG.name} is not JSON: {error}") from error
    return config


def base_url(config: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{config.get('HttpPort', 8042)}"


def session(config: dict[str, Any]) -> requests.Session:
    """An HTTP session; logs in as the first registered user if authentication is on."""
    result = requests.Session()
    result.trust_env = False
    result.headers["Accept-Encoding"] = "identity"
    users = config.get("RegisteredUsers") or {}
    if config.get("AuthenticationEnabled") and users:
        result.auth = next(iter(users.items()))
    return result


def running_pid() -> int | None:
    """The process id of our Orthanc, or None; another process that has the same number now does not count."""
    try:
        pid = int(PID_FILE.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(CONFIG) in command else None


def stop() -> bool:
    """Ask our Orthanc to end, and wait; False if there was none."""
    pid = running_pid()
    if pid is None:
        PID_FILE.unlink(missing_ok=True)
        return False
    for wish, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5)):
        os.kill(pid, wish)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if running_pid() is None:
                PID_FILE.unlink(missing_ok=True)
                return True
            time.sleep(0.05)
    raise ServerError(f"Orthanc (process {pid}) does not end")


def start() -> str:
    """Start our Orthanc, or restart it, and wait for the plugin; return its URL."""
    config = settings()
    if stop():
        print("server: restarting", flush=True)
    port = int(config.get("HttpPort", 8042))
    if _port_is_taken(port):
        raise ServerError(
            f"port {port} is taken by another program, maybe another Orthanc. Stop it"
            f" (which one: ss -ltnp 'sport = :{port}') or set another HttpPort in {CONFIG.name}"
        )
    program = shutil.which("Orthanc", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        raise ServerError("Orthanc is not installed: run 'make setup'")
    RUN.mkdir(exist_ok=True)
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            [program, str(CONFIG)],
            cwd=ROOT,  # the paths of orthanc.json are relative to it
            env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    PID_FILE.write_text(f"{process.pid}\n")
    _wait_for_plugin(process, config)
    return base_url(config)


def _wait_for_plugin(process: subprocess.Popen[bytes], config: dict[str, Any]) -> None:
    client, url = session(config), base_url(config) + STATUS
    deadline = time.monotonic() + START_SECONDS
    last = "no answer"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            PID_FILE.unlink(missing_ok=True)
            raise ServerError(f"Orthanc ended with code {process.returncode} while starting:\n{_log_end()}")
        try:
            answer = client.get(url, timeout=5)
        except requests.RequestException:
            time.sleep(0.1)
            continue
        if answer.status_code == 200:
            return
        last = f"{answer.status_code} {answer.reason}"
        time.sleep(0.5)
    stop()
    raise ServerError(f"{url} did not answer in {START_SECONDS} s ({last}):\n{_log_end()}")


def _port_is_taken(port: int) -> bool:
    """Whether binding fails, at any address; a connection that is only closing does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False


def _log_end() -> str:
    lines = LOG.read_text("utf-8", "replace").splitlines()
    return "\n".join(f"  {line}" for line in _telling(lines)) + f"\n(the whole log: {os.path.relpath(LOG)})"


def _telling(lines: list[str]) -> list[str]:
    """Why Orthanc ended, by its log: the message of an error in the script, else the last lines."""
    for number, line in enumerate(lines):
        if line.startswith("E") and line.endswith("traceback:"):
            message = itertools.takewhile(str.strip, lines[number + 1 :])  # an empty line is before the traceback
            return [line, *message]
    return lines[-25:]


def main(arguments: list[str]) -> int:
    if arguments not in (["start"], ["stop"]):
        print("usage: server.py start | stop", file=sys.stderr)
        return 2
    try:
        if arguments == ["stop"]:
            print("server: stopped" if stop() else "server: was not running")
        else:
            print(f"server: Orthanc with the plugin at {start()}/ (log: {os.path.relpath(LOG)})")
    except ServerError as error:
        print(f"server: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
