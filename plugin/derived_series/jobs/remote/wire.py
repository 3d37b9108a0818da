"""Tasks and outcomes as JSON, for HTTP between Orthanc and workers on other machines.

Neither end unpickles anything from the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from derived_series import errors
from derived_series.dicomweb.client import Connection
from derived_series.errors import Advice, Choice, DerivedSeriesError, InvalidRequest, Missing
from derived_series.jobs.messages import Catalogue, DeriveTask, Outcome

#: Fields that only make sense on the server's machine and are not sent: the worker has its own.
_LOCAL = frozenset({"connection", "folders", "image_path", "scratch"})

#: The types of an error's additional fields that are sent.
_PLAIN: Mapping[str, type] = {"remedy": str, "details": str, "transient": bool, "retry_after": int}


def task_to_json(task: DeriveTask) -> dict[str, Any]:
    """Convert a task to JSON, without the fields of the server's machine."""
    document = {each.name: getattr(task, each.name) for each in fields(task) if each.name not in _LOCAL}
    return {**document, "now": task.now.isoformat()}


def task_from_json(
    document: Mapping[str, Any], connection: Connection, folders: tuple[str, ...], scratch: str
) -> DeriveTask:
    """Convert JSON to a task. :param connection, folders, scratch: the worker's own."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
    }
    values["now"] = datetime.fromisoformat(document["now"])
    return DeriveTask(**values, connection=connection, folders=folders, scratch=scratch)


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "Result": outcome.result,
        "Error": None if outcome.error is None else error_to_json(outcome.error),
        "Clean": outcome.clean,
        "Sent": outcome.sent,
    }


def outcome_from_json(document: object) -> Outcome:
    """Convert JSON to an outcome. :raises InvalidRequest: it is not one."""
    if not isinstance(document, dict):
        raise InvalidRequest("the outcome of an attempt is a JSON object")
    result, error = document.get("Result"), document.get("Error")
    if not isinstance(result, dict | None) or (result is None and error is None):
        raise InvalidRequest("the outcome of an attempt has a Result, or an Error")
    return Outcome(
        result=result,
        error=None if error is None else error_from_json(error),
        clean=document.get("Clean") is True,
        sent=document.get("Sent") is not False,
    )


def error_to_json(error: DerivedSeriesError) -> dict[str, Any]:
    """Convert an error to JSON; a user's subclass becomes the nearest class of ours."""
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    document: dict[str, Any] = {"Kind": kind.__name__, "Message": error.message}
    document |= {name: value for name in _PLAIN if (value := getattr(error, name, None)) is not None}
    if isinstance(error.advice, Advice):
        document["advice"] = {"Choice": error.advice.choice.name, "Value": error.advice.value}
    if missing := getattr(error, "missing", None):
        document["missing"] = [[each.tag, each.keyword, each.reason] for each in missing]
    if findings := getattr(error, "findings", None):
        document["findings"] = list(map(str, findings))
    if notes := getattr(error, "__notes__", None):
        document["notes"] = list(map(str, notes))
    return document


def error_from_json(document: object) -> DerivedSeriesError:
    """Convert JSON to an error. :raises InvalidRequest: it is not one."""
    if not isinstance(document, dict):
        raise InvalidRequest("an error is a JSON object")
    kind = getattr(errors, str(document.get("Kind")), None)
    if not isinstance(kind, type) or not issubclass(kind, DerivedSeriesError):
        raise InvalidRequest(f"there is no error {str(document.get('Kind'))[:40]!r}")
    error = kind.__new__(kind)
    error.message = str(document.get("Message", ""))
    error.args = (error.message,)
    error.remedy = error.details = error.advice = None
    for name, of in _PLAIN.items():
        if isinstance(value := document.get(name), of):
            setattr(error, name, value)
    if isinstance(error, errors.StorageError):
        error.transient = document.get("transient") is True
    if isinstance(error, errors.Busy) and "retry_after" not in error.__dict__:
        error.retry_after = 10
    if isinstance(advice := document.get("advice"), dict) and str(advice.get("Choice")) in Choice.__members__:
        error.advice = Advice(Choice[advice["Choice"]], str(advice.get("Value", "")))
    if isinstance(error, errors.HeaderError):
        rows = [row for row in _rows(document.get("missing")) if isinstance(row, list) and len(row) == 3]
        error.missing = tuple(Missing(int(row[0]), str(row[1]), str(row[2])) for row in rows)
    if isinstance(error, errors.ValidationFailed):
        error.findings = tuple(map(str, _rows(document.get("findings"))))
    for note in _rows(document.get("notes")):
        error.add_note(str(note))
    return error


def _rows(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def catalogue_to_json(catalogue: Catalogue) -> dict[str, Any]:
    return {each.name: getattr(catalogue, each.name) for each in fields(catalogue)}


def catalogue_from_json(document: object) -> Catalogue:
    """Convert JSON to a catalogue. :raises InvalidRequest: it is not one."""
    kinds = {"blueprints": dict, "pipelines": dict, "factories": dict, "problems": list}
    if not isinstance(document, dict) or not all(isinstance(document.get(name), of) for name, of in kinds.items()):
        raise InvalidRequest(f"a catalogue is a JSON object of {', '.join(kinds)}")
    return Catalogue(**{name: document[name] for name in kinds})
