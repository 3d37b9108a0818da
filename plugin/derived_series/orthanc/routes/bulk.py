"""The routes of runs over many series. They carry identifiers, states, times and figures, and nothing of a patient."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Mapping
from typing import Any

from derived_series.errors import Conflict, InvalidRequest, NotFound
from derived_series.jobs.bulk.bulk_log import BulkLog
from derived_series.jobs.bulk.bulk_run import BulkRun, Decision
from derived_series.jobs.bulk.result_table import csv_text, row
from derived_series.jobs.bulk.run_changes import CHANGES
from derived_series.jobs.queue.audit_log import Act, Action
from derived_series.jobs.queue.job_files import JobFiles
from derived_series.jobs.queue.nodes import Nodes
from derived_series.jobs.requests.bulk import BULK_KEYS_IN, BulkRequest, DecisionRequest
from derived_series.jobs.requests.derive import parse_json, validated
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.bulk_checks import FitChecks
from derived_series.orthanc.bulk_decisions import NAMED_MEMBERS, decidable
from derived_series.orthanc.bulk_document import BulkDocuments, run_path
from derived_series.orthanc.bulk_driver import BulkDriver
from derived_series.orthanc.bulk_dry_run import BulkDryRun
from derived_series.orthanc.bulk_finder import MemberFinder
from derived_series.orthanc.callers import Callers
from derived_series.orthanc.derivations import Derivations
from derived_series.orthanc.http import Answer, Request
from derived_series.orthanc.reviews import Reviews
from derived_series.orthanc.routes.library import LibraryRoutes, named
from derived_series.orthanc.waiters import PAGE_REMEDY, Waiters
from derived_series.software import version

#: The most bytes of a body: 10,000 identifiers are half a megabyte.
_BODY_BYTES = 4 << 20

#: The default and the largest number of members of a page.
_PAGE_MEMBERS, _MOST_MEMBERS = 100, 1000

_REPORT_POLICY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


class BulkRoutes:
    """``/derived-series/bulk`` and what is below it.

    :param reports: the folder of the reports.
    """

    def __init__(
        self,
        log: BulkLog,
        driver: BulkDriver,
        finder: MemberFinder,
        checks: FitChecks,
        derivations: Derivations,
        library: LibraryRoutes,
        callers: Callers,
        audit: Audit,
        waiters: Waiters,
        reports: JobFiles,
        gateway: Gateway,
        reviews: Reviews,
        nodes: Nodes,
    ):
        self._gateway = gateway
        self._reviews = reviews
        self._nodes = nodes
        self._log = log
        self._driver = driver
        self._finder = finder
        self._documents = BulkDocuments(log, driver, reports)
        self._dry_run = BulkDryRun(finder, checks, derivations)
        self._derivations = derivations
        self._library = library
        self._callers = callers
        self._audit = audit
        self._waiters = waiters
        self._reports = reports

    def start(self, request: Request) -> Answer:
        """Begin a run, or list the series from which it would derive: see ``BulkRequest``."""
        if len(request.body) > _BODY_BYTES:
            raise InvalidRequest(f"the body has {len(request.body)} bytes, over the limit of {_BODY_BYTES}")
        asked = BulkRequest.of(parse_json(request.body, "the body"))
        asked.check_new()
        self._finder.check(asked)
        versions = self._versions(asked)
        if asked.keys.dry_run:
            with self._waiters.place(PAGE_REMEDY):
                return Answer.of(self._dry_run.answer(asked))
        by = self._callers.of(request, asked.keys.user).to_json()
        run = BulkRun(str(uuid.uuid4()), asked.to_json(), by, versions, time.time())
        act = _act("StartRun", by, run.id, {"Name": versions["Name"]})
        self._log.add(dataclasses.replace(run, acts=(act.to_json(),)))
        self._audit.tell(act)
        self._driver.wake()
        return Answer.of({"ID": run.id, "Path": run_path(run)})

    def _versions(self, asked: BulkRequest) -> dict[str, str]:
        """The versions of the code that will derive. :raises NotFound: a name in the request does not exist."""
        if asked.keys.compare is not None and asked.keys.compare.accepted is not None:
            named("pipeline", asked.keys.compare.accepted, self._library.catalogue())
        if asked.derive is None:
            name = asked.keys.again.pipeline if asked.keys.again is not None else ""
            pipeline = named("pipeline", name, self._library.catalogue())
            code = str(pipeline.get("Code", pipeline["Sha256"]))
        else:
            code = self._derivations.code_of(asked.derive)
            self._derivations.check_destinations(asked.derive)
            name = asked.derive.pipeline or asked.derive.blueprint or ""
        return {"Software": version(), "Name": name, "Code": code}

    # -- what there is -----------------------------------------------------------------------------------------

    def list(self, request: Request) -> Answer:
        """The identifiers, newest first; with ``?expand`` their states; a page with ``?since=&limit=``."""
        request.check_query("expand", "since", "limit")
        runs = self._log.runs(_number(request.query, "since", 0), _number(request.query, "limit", _PAGE_MEMBERS))
        if "expand" not in request.query:
            return Answer.of([run.id for run in runs])
        return Answer.of([self._documents.of(run) for run in runs])

    def get(self, request: Request) -> Answer:
        """The state of a run."""
        return Answer.of(self._documents.of(self._log.get(request.groups[0])))

    def table(self, request: Request) -> Answer:
        """A page of its members with all figures, by ``?since=&limit=``."""
        request.check_query("since", "limit")
        run = self._log.get(request.groups[0])
        limits = BulkRequest.of(run.request).keys.limits
        since = _number(request.query, "since", 0)
        limit = _number(request.query, "limit", _PAGE_MEMBERS)
        if limit > _MOST_MEMBERS:
            raise InvalidRequest(
                f"limit is {limit}, above the {_MOST_MEMBERS} members of one page",
                remedy="ask for several pages with since, or for table.csv, which has all",
            )
        members = self._log.members(run.id, since, limit)
        total = sum(self._log.counts(run.id).values())
        rows = [row(member, limits) | {"Comparison": member.comparison} for member in members]
        return Answer.of({"Since": since, "Total": total, "Members": rows})

    def table_csv(self, request: Request) -> Answer:
        """All its members as CSV."""
        run = self._log.get(request.groups[0])
        limits = BulkRequest.of(run.request).keys.limits
        return Answer(
            csv_text(self._log.all_members(run.id), limits).encode(),
            content_type="text/csv; charset=utf-8; header=present",
            headers={
                "Content-Disposition": f'attachment; filename="{run.id}.csv"',
                "X-Content-Type-Options": "nosniff",
            },
        )

    def report(self, request: Request) -> Answer:
        """The report of a comparing run, as a file. It exists once the run is over, and is kept."""
        run_id = request.groups[0]
        try:
            known = str(uuid.UUID(run_id))
        except ValueError:
            known = ""
        body = self._reports.read_report(known) if known else None
        if body is None:
            raise NotFound(
                f"there is no report of the run {run_id[:40]}",
                remedy="a run with Again or Compare has one when it is done",
            )
        headers = {"Content-Disposition": f'attachment; filename="comparison-{known}.html"', **_REPORT_POLICY}
        return Answer(body, content_type="text/html; charset=utf-8", headers=headers)

    # -- what is done to a run ---------------------------------------------------------------------------------

    def change(self, request: Request) -> Answer:
        """Pause, resume or cancel a run, or retry its failed members; replace or discard compared results."""
        run_id, verb = request.groups
        if verb in ("replace", "discard"):
            return self._decide(request, run_id, Decision.REPLACE if verb == "replace" else Decision.DISCARD)
        action, change = CHANGES[verb]
        by = self._callers.of(request).to_json()
        act = _act(action, by, run_id, {})
        write = self._log.retry if verb == "retry" else self._log.change
        run = write(run_id, lambda current: _with_act(change(current), act))
        self._audit.tell(act)
        self._driver.wake()
        return Answer.of(self._documents.of(run))

    def _decide(self, request: Request, run_id: str, decision: Decision) -> Answer:
        asked = validated(DecisionRequest, parse_json(request.body or b"{}", "the body"), keys_in=BULK_KEYS_IN)
        run = self._log.get(run_id)
        keys = BulkRequest.of(run.request).keys
        if not keys.compares or (decision is Decision.REPLACE and keys.again is None):
            what = "compares nothing" if not keys.compares else "compares with references, which stay"
            raise Conflict(
                f"the run {run_id} {what}", remedy="replace in a run with Again, discard there or with Compare"
            )
        by = self._callers.of(request).to_json()
        with self._nodes.alone("replacements"):  # an old series is replaced in one run only
            numbers, refused = decidable(run_id, decision, asked.members, self._log, self._gateway, self._reviews)
            count = self._log.decide(run_id, decision, numbers)
        if refused and asked.members is not None and not count:
            reasons = "; ".join(f"{each['Number']}: {each['Reason']}" for each in refused[:NAMED_MEMBERS])
            raise Conflict(f"nothing is done with members of the run {run_id}: {reasons}")
        action: Action = "ReplaceInRun" if decision is Decision.REPLACE else "DiscardInRun"
        act = _act(action, by, run_id, {"Members": asked.members or "Agreeing", "Count": count})
        self._log.change(run_id, lambda current: _with_act(current, act))
        self._audit.tell(act)
        self._driver.wake()
        return Answer.of({"Count": count, **({"Refused": refused} if refused else {})})

    def delete(self, request: Request) -> Answer:
        """Forget a finished run. Its jobs, its series and its report are kept."""
        run_id = request.groups[0]
        by = self._callers.of(request).to_json()
        self._log.delete(run_id)
        self._audit.tell(_act("DeleteRun", by, run_id, {}))
        return Answer.of({})


def _act(action: Action, by: Mapping[str, Any], run: str, more: Mapping[str, Any]) -> Act:
    return Act(action, by, "", "", {"Run": run, **more})


def _with_act(run: BulkRun, act: Act) -> BulkRun:
    return dataclasses.replace(run, acts=(*run.acts, act.to_json()))


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidRequest(f"{name} is {text[:40]!r}, not a number", remedy="give it as up to 15 digits")
    return int(text)
