"""The part of the plugin for rules, with a dictionary as Orthanc, without threads and workers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from derived_series.jobs.messages import Catalogue
from derived_series.jobs.notices.fields import EVENTS
from derived_series.jobs.notices.messenger import Messenger
from derived_series.jobs.notices.notifier import Notifier
from derived_series.jobs.notices.outbox import Outbox
from derived_series.jobs.notices.receiver import Receiver
from derived_series.jobs.queue.audit_log import AuditFile, AuditLog
from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.queue.retrievals import Retrievals
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.verdict_log import VerdictLog
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.rules.logs import RuleLogs
from derived_series.jobs.rules.study_waits import StudyWait
from derived_series.jobs.work.entry import WORK
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.changes import ChangeReader
from derived_series.orthanc.config import Settings
from derived_series.orthanc.firing import Firer
from derived_series.orthanc.forwarding import Forwarding
from derived_series.orthanc.reviews import Reviews
from derived_series.orthanc.routes.library import LibraryRoutes
from derived_series.orthanc.studies import StudyReader, tag_numbers
from derived_series.orthanc.study_watch import StudyWatch
from derived_series.orthanc.triggers import RuleTrigger
from route_client import FakeGateway


class RuleGateway(FakeGateway):
    """A Gateway whose series may have short identifiers."""

    def series(self, orthanc_id: str) -> dict[str, Any]:
        series: dict[str, Any] = self.get(f"/series/{orthanc_id}")
        return series


class Pipelines:
    """The library's catalogue: the inputs of each pipeline, of which the first is its parent."""

    def __init__(self, **inputs: Sequence[str]):
        self._pipelines = {
            name: {"Inputs": list(names), "ParentInput": names[0], "OptionalInputs": [], "PriorInputs": []}
            for name, names in inputs.items()
        }

    def catalogue(self) -> Catalogue:
        return Catalogue(pipelines=self._pipelines)


class World:
    """The rules with all that they need.

    :ivar gateway: Orthanc. :ivar store: the jobs, which no worker takes.
    :ivar outbox: notices for the receiver ``watch``, which nobody sends.
    """

    def __init__(self, folder: Path, rules: Sequence[dict[str, Any]], pipelines: Pipelines, gateway: FakeGateway):
        self.gateway = gateway
        self.settings = Settings.of({"Rules": list(rules)})
        self.rules = self.settings.rules
        self.store = JobStore(folder / "jobs")
        self.runner = JobRunner(self.store, ThreadPoolExecutor(1), WORK, cast(Any, None), Limits(), lambda job: 60.0)
        self.outbox = Outbox(self.store, ["watch"])
        watch = Receiver.model_validate({"URL": "http://watch/", "Events": list(EVENTS)})
        notifier = Notifier(
            self.outbox, [Messenger(watch, self.outbox)], "here", lambda job_id: None, lambda series: {}
        )
        self.reviews = Reviews(gateway, self.runner, VerdictLog(self.store), notifier)
        self.retrievals = Retrievals(self.store)
        logs = RuleLogs.of(self.store)
        self.remarks, self.waits = logs.remarks, logs.waits
        self.numbers = tag_numbers(self.rules, gateway.tag_number)
        self._audit_file = AuditFile(folder / "audit.jsonl", 1 << 20)
        audit = Audit(gateway, AuditLog(self.store), self._audit_file)
        firer = Firer(self.runner, cast(LibraryRoutes, pipelines), logs, self.settings, audit, notifier)
        self.watch = StudyWatch(self.rules, logs, firer)
        self.watch.begin()
        forwarding = Forwarding(self.store, self.reviews, logs, audit, hold=False)
        changes = ChangeReader(gateway, logs.firings, 1.0)
        self.trigger = RuleTrigger(
            gateway,
            self.runner,
            logs,
            self.retrievals,
            changes,
            self.rules,
            self.numbers,
            firer,
            self.watch,
            forwarding,
            notifier,
            self.runner.nodes,
        )

    def add(self, series: str, modality: str, *, study: str = "study", provenance: Any = None) -> None:
        """Add a stable series of one instance."""
        self.gateway.add_series(series, f"i-{series}", study=study)
        self.gateway.resources[f"/instances/i-{series}/tags?short"] = {"0008,0060": modality}
        self.gateway.resources[f"/instances/i-{series}/metadata?expand"] = {}
        if provenance is not None:
            self.gateway.resources[f"/series/{series}/metadata/4300"] = provenance

    def came(self, series: str, modality: str, **more: Any) -> None:
        """Make a series stable, and let rules look at it."""
        self.add(series, modality, **more)
        assert self.trigger.apply(series)

    def look_at_time(self) -> float | None:
        """Handle the waits whose time is over."""
        reader = StudyReader(self.gateway, self.numbers, self.store, self.retrievals)
        return self.watch.look_at_time(reader, lambda: False)

    def let_time_pass(self) -> None:
        """Move the beginning of all waits back by a day."""
        for wait in self.waits.all():
            self.waits.put(dataclasses.replace(wait, since=time.time() - 86400))

    def wait_of(self, rule: str) -> StudyWait:
        (wait,) = (each for each in self.waits.all() if each.rule == rule)
        return wait

    def jobs(self) -> list[JobRecord]:
        return self.store.page()

    def texts(self, rule: str) -> list[str]:
        """The remarks of a rule, newest first."""
        return [each.text for each in self.remarks.of_rule(rule, 10)]

    def derived(self, series: str, job: str, **provenance: Any) -> None:
        """Add a series that a job has made."""
        result = {"ID": series, "Path": f"/series/{series}", "Series": [{"Output": "result", "ID": series}]}
        record = JobRecord(
            job, "parent", {"Pipeline": "p"}, None, job, job, time.time(), state=State.SUCCESS, result=result
        )
        self.store.add(record, None, most=100)
        self.add(series, "SEG", provenance={"Job": job, "Output": "result", **provenance})

    def close(self) -> None:
        self._audit_file.close()
        self.store.close()
