"""Answers a request by the handler of its route; every error becomes an answer too."""

from __future__ import annotations

import logging
import re

from derived_series.errors import DerivedSeriesError
from derived_series.jobs.about_job import about_job
from derived_series.orthanc.answers import error_answer, method_not_allowed
from derived_series.orthanc.browsers import Doorkeeper
from derived_series.orthanc.http import Answer, Request, Route

_log = logging.getLogger(__name__)


#: Finds the job in an address.
_JOB = re.compile(r"/jobs/([0-9a-f-]{36})(/|$)")


def respond(route: Route, request: Request, doorkeeper: Doorkeeper) -> Answer:
    """Call a route's handler; turn every exception into an error answer."""
    job = _JOB.search(request.uri)
    with about_job(job[1] if job else ""):
        return _respond(route, request, doorkeeper)


def _respond(route: Route, request: Request, doorkeeper: Doorkeeper) -> Answer:
    try:
        doorkeeper.check(request)
        handler = route.handlers.get(request.method)
        return handler(request) if handler else method_not_allowed(request, route)
    except DerivedSeriesError as error:
        return error_answer(error, request)
    except Exception:  # the one boundary of callbacks: an error beyond it would be a bare 500
        _log.exception("internal error in %s %s", request.method, request.uri)
        return error_answer(DerivedSeriesError("internal error", remedy="see Orthanc's log"), request)
