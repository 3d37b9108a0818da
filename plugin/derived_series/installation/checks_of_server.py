"""What a running Orthanc tells of a set-up, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from derived_series.installation.finding import Finding, error, warning
from derived_series.no_answer import causes_of, reason_of
from derived_series.software import version

STATUS = "/derived-series/status"
_SECONDS = 60.0
_CLOCK_SECONDS = 60.0
_OLDEST = (1, 10, 0)


@dataclass(frozen=True, slots=True)
class Server:
    """Where Orthanc is reached.

    :ivar login: name and password, where it asks for them.
    :ivar headers: further ones, such as a token.
    :ivar dicomweb_root: where the DICOMweb plugin is to answer.
    :ivar ca_bundle: certificates to trust where it is HTTPS; None: those of this machine.
    """

    url: str
    login: tuple[str, str] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    dicomweb_root: str = "/dicom-web"
    ca_bundle: str | None = None


def check_server(server: Server) -> list[Finding]:
    """All that is wrong."""
    with requests.Session() as session:
        session.trust_env = False
        session.auth = server.login
        session.verify = True if server.ca_bundle is None else server.ca_bundle
        session.headers.update({"Accept-Encoding": "identity", **dict(server.headers)})
        try:
            return list(_findings(server, session))
        except OSError as problem:  # those of requests, and certificates that are not there
            refused = any(isinstance(each, ConnectionRefusedError) for each in causes_of(problem))
            why = f"nothing listens at {server.url}" if refused else f"{server.url} does not answer"
            reason = "" if refused else f": {reason_of(problem) or problem}"
            return [
                error(
                    "server",
                    why + reason,
                    "start Orthanc, look at its log, and give the address with --url",
                )
            ]


def _findings(server: Server, session: requests.Session) -> Iterator[Finding]:
    answer = session.get(server.url + "/system", timeout=_SECONDS)
    if answer.status_code == 401:
        yield error("login", f"{server.url} asks for a name and a password", "give them with --user and --password")
        return
    if answer.status_code == 403:
        yield _forbidden("GET /system")
        return
    system = _json(answer)
    if not isinstance(system, dict) or "ApiVersion" not in system:
        yield error(
            "server",
            f"{server.url} is not Orthanc: GET /system was answered {answer.status_code}",
            "give Orthanc's address with --url; another program may have its port (HttpPort)",
        )
        return
    yield from _system(system)
    plugins = _json(session.get(server.url + "/plugins", timeout=_SECONDS))
    names = plugins if isinstance(plugins, list) else []
    if "dicom-web" not in names:
        yield error("dicomweb", "Orthanc has not loaded its DICOMweb plugin", "install orthanc-dicomweb, and restart")
    else:
        yield from _dicomweb(server, session)
    if "python" not in names:
        yield error("python plugin", "Orthanc has not loaded its Python plugin", "install orthanc-python, and restart")
        return
    yield from _plugin(server, session)
    yield from _clock(server, session)


def _system(system: dict[str, Any]) -> Iterator[Finding]:
    named = str(system.get("Version", ""))
    if named != "mainline" and tuple(int(part) for part in named.split(".") if part.isdigit()) < _OLDEST:
        yield error("orthanc version", f"this is Orthanc {named}", "Orthanc 1.10 or later is needed")
    if system.get("ReadOnly"):
        yield error("read only", "Orthanc is read-only (ReadOnly): nothing can be stored", "set ReadOnly to false")


def _dicomweb(server: Server, session: requests.Session) -> Iterator[Finding]:
    address = f"{server.dicomweb_root}/studies?limit=1"
    status = session.get(server.url + address, timeout=_SECONDS).status_code
    if status == 403:
        yield _forbidden(f"GET {address}")
    elif status != 200:
        yield error(
            "dicomweb",
            f"GET {address} was answered {status}: DICOMweb is at another root, or switched off",
            "set DicomWeb.Enable to true; the plugin takes DicomWeb.Root from Orthanc's configuration",
        )


def _plugin(server: Server, session: requests.Session) -> Iterator[Finding]:
    answer = session.get(server.url + STATUS, timeout=_SECONDS)
    if answer.status_code == 403:
        yield _forbidden(f"GET {STATUS}")
        return
    if answer.status_code == 404:
        yield error(
            "not loaded",
            f"Orthanc has not loaded this plugin: GET {STATUS} was answered 404",
            "set PythonScript as derived-series install says, restart Orthanc, and look at its log",
        )
        return
    status = _json(answer)
    if answer.status_code != 200 or not isinstance(status, dict):
        problem = status if isinstance(status, dict) else {}
        message = problem.get("Message", answer.text[:200])
        yield error(
            "workers",
            f"the plugin answered {answer.status_code}: {message}",
            problem.get("Remedy") or "see Orthanc's log",
        )
        return
    if status.get("Version") != version():
        yield warning(
            "plugin version",
            f"Orthanc runs version {status.get('Version')} of the plugin, version {version()} is installed",
            "restart Orthanc",
        )
    if not status.get("Deriving", True):
        reasons = "; ".join(str(each.get("Message")) for each in status.get("Problems", [])[:1])
        yield error("deriving", f"nothing is derived: {reasons}", "make room on that disk, and restart Orthanc")
    else:
        for each in status.get("Problems", []):
            yield warning(
                "files", f"{each.get('File')} cannot be loaded: {each.get('Message')}", "mend it, and restart Orthanc"
            )
    if not status.get("Blueprints"):
        yield error("blueprint folders", "the plugin has no blueprint", "BlueprintFolders: name the ready ones")
    rules = _json(session.get(server.url + "/derived-series/rules", timeout=_SECONDS))
    for rule in rules if isinstance(rules, list) else ():
        for problem in rule.get("Problems", ()):
            yield error("rules", f"its jobs would fail: rule {rule.get('Name')!r}: {problem}", "mend the rule")
    yield from _permissions(server, session)


def _permissions(server: Server, session: requests.Session) -> Iterator[Finding]:
    """POST without a subject: what lets it through finds nothing, and stores nothing."""
    address = "/series/00000000-00000000-00000000-00000000-00000000/derive"
    answer = session.post(server.url + address, data=b"{}", timeout=_SECONDS)
    if answer.status_code in (401, 403):
        yield _forbidden("POST /series/{id}/derive")


def _clock(server: Server, session: requests.Session) -> Iterator[Finding]:
    text = session.get(server.url + "/tools/now", timeout=_SECONDS).text.strip()
    try:
        there = datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return
    apart = abs((datetime.now(UTC) - there).total_seconds())
    if apart > _CLOCK_SECONDS:
        yield warning(
            "clock",
            f"Orthanc's clock ({there.isoformat()}) and this machine's are {apart:.0f} s apart",
            "synchronise both (NTP): times of series and the order of verdicts follow it",
        )


def _forbidden(request: str) -> Finding:
    return error(
        "authorization",
        f"{request} was answered 403: the authorization plugin or a filter does not permit it to this user",
        "give that user's permissions (ExtraPermissions of the authorization plugin, docs/authorization.md)",
    )


def _json(answer: requests.Response) -> Any:
    try:
        return json.loads(answer.content)
    except ValueError:
        return None
