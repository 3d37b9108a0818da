"""The routes for monitoring: health and metrics."""

from __future__ import annotations

from collections.abc import Iterator

from derived_series.jobs.notices.outbox import Outbox
from derived_series.orthanc.config import Settings
from derived_series.orthanc.health import Grade, Health, worst
from derived_series.orthanc.http import Answer, Request
from derived_series.orthanc.metrics import Metrics
from derived_series.orthanc.prometheus import CONTENT_TYPE, Family, Sample, by_label, exposition, gauge
from derived_series.software import version


class MonitoringRoutes:
    """Answers from this process alone, without asking Orthanc or a worker."""

    def __init__(self, health: Health, metrics: Metrics, outbox: Outbox, settings: Settings):
        self._health = health
        self._metrics = metrics
        self._outbox = outbox
        self._settings = settings
        self._version = version()  # now, because an upgrade replaces the installed files while this process runs

    def health(self, request: Request) -> Answer:
        """The checks, with 503 if something prevents derivations; a mere warning is a 200."""
        checks = self._health.checks()
        grade = worst(checks)
        document = {
            "Status": grade.value,
            "Version": self._version,
            "Checks": {check.name: check.to_json() for check in checks},
        }
        return Answer.of(document, 503 if grade is Grade.ERROR else 200, {"Cache-Control": "no-store"})

    def metrics(self, request: Request) -> Answer:
        return Answer(exposition(self._families()).encode(), content_type=CONTENT_TYPE)

    def _families(self) -> Iterator[Family]:
        info = Sample(1, (("version", self._version),))
        yield Family("derived_series_info", "gauge", "The version of the plugin", (info,))
        yield from self._metrics.families()
        oldest = self._health.oldest_seconds()
        yield gauge("derived_series_oldest_waiting_seconds", "How long the oldest job waits that has never run", oldest)
        workers = {"alive": float(self._health.alive()), "configured": float(self._settings.workers)}
        yield by_label("gauge", "derived_series_workers", "Worker processes", "state", workers)
        if (free := self._health.free_bytes()) is not None:
            yield gauge("derived_series_disk_free_bytes", "Room of the fuller disk of storage and jobs", free)
        tallies = self._outbox.tallies().items()
        for name, help, kind, values in (
            ("waiting", "Notices that wait", "gauge", {key: each.waiting for key, each in tallies}),
            ("sent_total", "Notices that were taken", "counter", {key: each.sent for key, each in tallies}),
            ("given_up_total", "Notices that were given up", "counter", {key: each.given_up for key, each in tallies}),
        ):
            numbers = {key: float(value) for key, value in values.items()}
            yield by_label(kind, f"derived_series_notices_{name}", help, "receiver", numbers)  # type: ignore[arg-type]
