"""Calls the ``orthanc`` module, which exists in Orthanc's own interpreter only; no other module imports it."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orthanc

from derived_series.errors import Busy, DerivedSeriesError, NotFound
from derived_series.jobs.plain import printable
from derived_series.jobs.remote.attempts import HEADER, Attempts
from derived_series.orthanc import kept_arguments
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.browsers import Doorkeeper, is_form, leads_to
from derived_series.orthanc.file_answer import send_file
from derived_series.orthanc.http import Answer, Request, Route
from derived_series.orthanc.log_format import LOGGER, TextLines
from derived_series.orthanc.respond import respond

_log = logging.getLogger(__name__)

#: More threads than Orthanc's HTTP server has (HttpThreadsCount), so that no call waits for another to end.
_MOST_THREADS = 1 << 16

#: The most characters of a log entry: two tracebacks and their messages.
_ENTRY_CHARACTERS = 100_000

#: Orthanc's errors of its database, which pass.
_OF_DATABASE = ("DATABASE", "DATABASE_PLUGIN", "DATABASE_UNAVAILABLE", "DATABASE_CANNOT_SERIALIZE")


_ATTEMPT = HEADER.lower()

_FORM = (
    "a form of several parts (multipart/form-data) was sent to %s and refused with 403: send the file itself, with "
    "curl -H 'Expect:' --data-binary @FILE in place of curl -F, requests.post(url, data=content) in place of files="
)


class OrthancLog(logging.Handler):
    """Writes Python's log records to Orthanc's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; never raises. Orthanc's functions refuse NUL and lone surrogates."""
        try:
            text = printable(self.format(record), _ENTRY_CHARACTERS)
        except Exception:  # the boundary to objects whose text cannot be read
            text = f"derived-series: what {record.module}, line {record.lineno}, has to say cannot be written"
        try:
            if record.levelno >= logging.ERROR:
                orthanc.LogError(text)
            elif record.levelno >= logging.WARNING:
                orthanc.LogWarning(text)
            else:
                orthanc.LogInfo(text)
        except Exception:  # Orthanc refuses the text all the same, or is ending
            return


class PluginGateway(Gateway):
    """Orthanc through its ``orthanc`` module.

    Keep the object: a callback that only Orthanc holds makes it crash when it stops.
    """

    def __init__(self) -> None:
        self._kept: list[Callable[..., object]] = []
        self._keeps_arguments = False
        self._addresses: dict[int, str] = {}  # addresses of senders, by Orthanc's thread that answers them
        # The threads of Orthanc's HTTP server have a stack of 100 kB: a few levels of nested JSON, checked or written
        # there, would end the whole server (SIGSEGV). These are kept for later calls: on busy processors, the kernel
        # lets a new thread wait for a tick or two (4 to 9 ms), while one that slept goes first.
        self._threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="derived-series-route")
        self._log = OrthancLog()
        self._log.setFormatter(TextLines())
        logger = logging.getLogger(LOGGER)
        logger.addHandler(self._log)
        logger.setLevel(logging.INFO)
        logger.propagate = False

    def configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = json.loads(orthanc.GetConfiguration())
        return configuration

    def configuration_path(self) -> Path:
        return Path(orthanc.GetConfigurationPath())

    def authorization(self) -> str:
        return str(orthanc.GenerateRestApiAuthorizationToken())

    def get(self, path: str) -> Any:
        try:
            return json.loads(orthanc.RestApiGet(path))
        except orthanc.OrthancException as error:
            raise _failure("GET", path, error) from error

    def get_any(self, path: str) -> Any:
        try:
            return json.loads(orthanc.RestApiGetAfterPlugins(path))
        except orthanc.OrthancException as error:
            raise _failure("GET", path, error) from error

    def put(self, path: str, body: bytes) -> None:
        try:
            orthanc.RestApiPut(path, body)
        except orthanc.OrthancException as error:
            raise _failure("PUT", path, error) from error

    def delete(self, path: str) -> None:
        try:
            orthanc.RestApiDelete(path)
        except orthanc.OrthancException as error:
            raise _failure("DELETE", path, error) from error

    def post(self, path: str, body: str) -> Any:
        try:
            return json.loads(orthanc.RestApiPost(path, body))
        except orthanc.OrthancException as error:
            raise _failure("POST", path, error) from error

    def log_as(self, lines: logging.Formatter) -> None:
        self._log.setFormatter(lines)

    def features(self) -> dict[str, bool]:
        output = getattr(orthanc, "RestOutput", None)
        streams = {"StartStreamAnswer": hasattr(output, "StartStreamAnswer")}  # Python plugin 5.0
        return {name: hasattr(orthanc, name) for name in ("SetStableStatus", "EmitAuditLog")} | streams  # 6.0

    def set_stable(self, series: str) -> None:
        if not self.features()["SetStableStatus"]:
            return
        try:
            orthanc.SetStableStatus(series, orthanc.StableStatus.STABLE)
        except (orthanc.OrthancException, TypeError) as error:  # no such series, or other arguments
            _log.info("the series %s is not made stable: %s", series, error)

    def audit(self, user: str, series: str, action: str, data: bytes) -> None:
        if not self.features()["EmitAuditLog"]:
            return
        try:
            orthanc.EmitAuditLog("derived-series", user, orthanc.ResourceType.SERIES, series, action, data)
        except (orthanc.OrthancException, TypeError) as error:
            raise DerivedSeriesError("Orthanc's audit log refuses an entry", details=str(error)) from error

    def metric(self, name: str, value: float) -> None:
        orthanc.SetMetricsValue(name, value, orthanc.MetricsType.DEFAULT)

    def tag_number(self, keyword: str) -> str | None:
        try:
            entry = orthanc.LookupDictionary(keyword)
        except (orthanc.OrthancException, TypeError):  # which of them depends on the plugin's version
            return None
        return f"{entry['Group']:04x},{entry['Element']:04x}"

    def extend_explorer(self, script: str) -> None:
        orthanc.ExtendOrthancExplorer(script)

    def on_changes(self, start: Callable[[], None], stop: Callable[[], None], stable: Callable[[], None]) -> None:

        def changed(change: int, level: int, resource: str) -> None:
            if change == orthanc.ChangeType.ORTHANC_STARTED:
                self._keeps_arguments = self.get("/plugins/python").get("Version") in kept_arguments.VERSIONS
                start()
            elif change == orthanc.ChangeType.ORTHANC_STOPPED:
                stop()
            elif change == orthanc.ChangeType.STABLE_SERIES:
                stable()

        self._kept.append(changed)
        orthanc.RegisterOnChangeCallback(changed)

    def serve(self, routes: Sequence[Route], doorkeeper: Doorkeeper, attempts: Attempts) -> None:
        for route in routes:
            self._serve(route, doorkeeper)
        self._filter([re.compile(route.pattern) for route in routes], attempts)

    def _filter(self, patterns: Sequence[re.Pattern[str]], attempts: Attempts) -> None:
        """Refuse multipart forms (see ``is_form``) and the requests of ended attempts on other machines.

        Orthanc calls the filter before it takes a form apart, and before a late instance becomes a series; our own
        routes refuse such attempts themselves, with 410. It calls it for each request, in threads with small stacks, so
        any other request is let through at once.
        """

        def is_allowed(uri: str, **parts: Any) -> bool:
            allowed = is_wanted(uri, parts)
            self._let_go(parts)
            return allowed

        def is_wanted(uri: str, parts: Mapping[str, Any]) -> bool:
            self._addresses[threading.get_ident()] = str(parts.get("ip") or "")
            headers = {name.lower(): value for name, value in (parts.get("headers") or {}).items()}
            if (token := headers.get(_ATTEMPT)) is not None and not attempts.is_live(token):
                return leads_to(uri, patterns)
            if parts["method"] != orthanc.HttpMethod.POST:
                return True
            if not is_form(headers) or not leads_to(uri, patterns):
                return True
            self._threads.submit(_log.warning, _FORM, uri)
            return False

        self._kept.append(is_allowed)
        orthanc.RegisterIncomingHttpRequestFilter(is_allowed)

    def _let_go(self, arguments: Mapping[str, Any]) -> None:
        if self._keeps_arguments:
            kept_arguments.let_go(arguments)

    def _serve(self, route: Route, doorkeeper: Doorkeeper) -> None:

        def callback(output: Any, uri: str, **parts: Any) -> None:
            request = Request(
                parts["method"],
                uri,
                tuple(parts.get("groups") or ()),
                parts.get("get") or {},
                {name.lower(): value for name, value in (parts.get("headers") or {}).items()},
                parts.get("body") or b"",
                self._addresses.pop(threading.get_ident(), ""),  # the same thread called the filter before
            )
            _send(output, self._threads.submit(respond, route, request, doorkeeper).result())
            self._let_go(parts)

        self._kept.append(callback)
        orthanc.RegisterRestCallback(route.pattern, callback)


def _failure(method: str, path: str, error: Exception) -> DerivedSeriesError:
    """Why Orthanc did not answer. Only what it does not know is not found: its disk or its database may be away."""
    code = error.args[0] if error.args else None
    if code is not None and code in [getattr(orthanc.ErrorCode, name, None) for name in _OF_DATABASE]:
        return Busy(f"Orthanc's database does not answer: {method} {path}: {error}", retry_after=5)
    if code in (orthanc.ErrorCode.UNKNOWN_RESOURCE, orthanc.ErrorCode.INEXISTENT_ITEM):
        return NotFound(f"Orthanc has no {path}", details=str(error))
    return DerivedSeriesError(f"{method} {path} failed in Orthanc", remedy="see Orthanc's log", details=str(error))


def _send(output: Any, answer: Answer) -> None:
    if answer.status == 405:  # the one error without JSON: Orthanc sends this status itself or not at all
        output.SendMethodNotAllowed(answer.headers["Allow"])
        return
    for name, value in answer.headers.items():
        output.SetHttpHeader(name, value)
    if answer.file is not None:
        try:
            with answer.file.open("rb") as file:
                send_file(output, file, answer.content_type)
        except FileNotFoundError:  # removed since the route checked: its job is over
            output.SendHttpStatusCode(404)
        return
    if answer.status == 200:
        output.AnswerBuffer(answer.body, answer.content_type)
        return
    output.SetHttpHeader("Content-Type", answer.content_type)
    text = answer.body.decode()
    if answer.content_type.startswith("application/json"):  # newer versions of the plugin encode UTF-8 once more
        text = re.sub(r"[^\x00-\x7f]", lambda match: json.dumps(match.group())[1:-1], text)
    try:
        output.SendHttpStatus(answer.status, text)  # from version 4.2 of the Python plugin on
    except TypeError:
        output.SendHttpStatus(answer.status, text, len(text.encode()))
