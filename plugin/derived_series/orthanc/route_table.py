"""Assigns each address its handlers."""

from __future__ import annotations

from derived_series.orthanc.addresses import bound
from derived_series.orthanc.http import Route
from derived_series.orthanc.routes.bulk import BulkRoutes
from derived_series.orthanc.routes.derive import DeriveRoutes
from derived_series.orthanc.routes.fitting import FittingRoutes
from derived_series.orthanc.routes.jobs import JobRoutes
from derived_series.orthanc.routes.library import LibraryRoutes
from derived_series.orthanc.routes.monitoring import MonitoringRoutes
from derived_series.orthanc.routes.ohif import Ohif
from derived_series.orthanc.routes.pages import Pages
from derived_series.orthanc.routes.provenance import ProvenanceRoutes
from derived_series.orthanc.routes.remote import RemoteRoutes
from derived_series.orthanc.routes.review_page import ReviewRoutes
from derived_series.orthanc.routes.rules import RuleRoutes
from derived_series.orthanc.routes.verdict import VerdictRoutes


def routes(
    library: LibraryRoutes,
    derive: DeriveRoutes,
    jobs: JobRoutes,
    provenance: ProvenanceRoutes,
    verdict: VerdictRoutes,
    pages: Pages,
    review: ReviewRoutes,
    ohif: Ohif,
    rules: RuleRoutes,
    fitting: FittingRoutes,
    bulk: BulkRoutes,
    monitoring: MonitoringRoutes,
    remote: RemoteRoutes,
) -> list[Route]:
    """All routes of the plugin, each with its row in the table of addresses."""
    return bound(
        {
            "derive": {"POST": derive.derive},
            "derive image": {"POST": derive.derive_image},
            "derived": {"GET": provenance.derived},
            "provenance": {"GET": provenance.provenance},
            "verdict": {"GET": verdict.get, "POST": verdict.post},
            "sources": {"GET": review.sources},
            "manifest": {"GET": review.manifest},
            "fitting pipelines": {"GET": fitting.pipelines},
            "try rules": {"POST": rules.try_on},
            "jobs of a series": {"GET": jobs.of_series},
            "job of a series": {"GET": jobs.get, "DELETE": jobs.delete},
            "cancel": {"POST": jobs.cancel},
            "resubmit": {"POST": jobs.resubmit},
            "image": {"GET": jobs.image},
            "progress": {"POST": jobs.progress},
            "log": {"GET": jobs.log},
            "attempt": {"POST": remote.of_job},
            "pixels": {"GET": review.pixels},
            "status": {"GET": library.status},
            "blueprints": {"GET": library.blueprints},
            "blueprint": {"GET": library.blueprint},
            "factories": {"GET": library.factories},
            "pipelines": {"GET": library.pipelines},
            "pipeline": {"GET": library.pipeline},
            "rules": {"GET": rules.rules},
            "simulate": {"POST": rules.simulate},
            "jobs": {"GET": jobs.list},
            "job": {"GET": jobs.point, "DELETE": jobs.point},
            "job, to change": {"POST": jobs.point},
            "environment": {"POST": remote.of_environment},
            "bundle": {"GET": remote.bundle},
            "file of a bundle": {"GET": remote.file},
            "recent": {"GET": fitting.recent},
            "bulk": {"GET": bulk.list, "POST": bulk.start},
            "bulk run": {"GET": bulk.get, "DELETE": bulk.delete},
            "bulk run, to change": {"POST": bulk.change},
            "bulk table": {"GET": bulk.table},
            "bulk table as CSV": {"GET": bulk.table_csv},
            "bulk report": {"GET": bulk.report},
            "health": {"GET": monitoring.health},
            "metrics": {"GET": monitoring.metrics},
            "start page": {"GET": pages.page("status/status.html")},
            "form page": {"GET": pages.page("derive/derive.html")},
            "bulk page": {"GET": pages.page("bulk/bulk.html")},
            "review page": {"GET": pages.page("review/review.html")},
            "files of pages": {"GET": pages.file},
            "viewer": {"GET": ohif.file},
        }
    )
