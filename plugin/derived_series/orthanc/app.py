"""The plugin put together: configuration, workers, jobs, routes."""

from __future__ import annotations

import logging
import socket
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from derived_series.dicomweb.client import Connection
from derived_series.jobs.bulk.bulk_log import BulkLog
from derived_series.jobs.messages import DeriveTask
from derived_series.jobs.notices.messenger import Messenger
from derived_series.jobs.notices.notifier import Notifier
from derived_series.jobs.notices.outbox import Outbox
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.pool.executor import Keeping, ProcessExecutor
from derived_series.jobs.pool.launch import Interpreter
from derived_series.jobs.pool.overflow import OverflowExecutor
from derived_series.jobs.queue.audit_log import AuditFile, AuditLog
from derived_series.jobs.queue.full_store import FullStore
from derived_series.jobs.queue.job_logs import JobLogs
from derived_series.jobs.queue.leftovers import Leftovers
from derived_series.jobs.queue.nodes import BULK, GONE, NOTICE, STABLE, OneNode, Part
from derived_series.jobs.queue.reserved_numbers import SeriesNumbers
from derived_series.jobs.queue.retrievals import Retrievals
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.verdict_log import VerdictLog
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.remote.attempts import Attempts
from derived_series.jobs.remote.bundles import Bundles
from derived_series.jobs.requests.verdict import ACCEPTED
from derived_series.jobs.rules.logs import RuleLogs
from derived_series.jobs.scratch import remove_scratch
from derived_series.jobs.stored_series import stored_ids
from derived_series.jobs.work.entry import WORK, warm_up, warm_up_for_pages
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.answers import job_path
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.bulk_checks import FitChecks
from derived_series.orthanc.bulk_comparisons import Comparisons
from derived_series.orthanc.bulk_driver import BulkDriver
from derived_series.orthanc.bulk_finder import MemberFinder
from derived_series.orthanc.callers import Callers
from derived_series.orthanc.changes import ChangeReader
from derived_series.orthanc.config import OrthancConfiguration, Settings
from derived_series.orthanc.derivations import Derivations
from derived_series.orthanc.destinations import Destinations
from derived_series.orthanc.firing import Firer
from derived_series.orthanc.forwarding import Forwarding
from derived_series.orthanc.health import Health
from derived_series.orthanc.job_storage import jobs_folder, nodes_of, opened, shared_database
from derived_series.orthanc.local_environments import local_environments
from derived_series.orthanc.log_format import JsonLines, JsonLog
from derived_series.orthanc.metrics import Metrics
from derived_series.orthanc.patients import patient_of
from derived_series.orthanc.remote_environments import remote_environments
from derived_series.orthanc.retrieval_marks import mark_retrieved
from derived_series.orthanc.reviews import Reviews
from derived_series.orthanc.route_table import routes
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
from derived_series.orthanc.series_numbers import series_number
from derived_series.orthanc.studies import tag_numbers
from derived_series.orthanc.study_watch import StudyWatch
from derived_series.orthanc.triggers import RuleTrigger
from derived_series.orthanc.waiters import Waiters

if TYPE_CHECKING:
    pass

_log = logging.getLogger(__name__)

#: Requests that store instances at once, of all jobs that run.
_CONNECTIONS = 4

#: Seconds that Orthanc may still work on a request whose time has passed.
_ON_THE_WAY_SECONDS = 60.0


def start(gateway: Gateway, executable: Path, pool: type[ProcessExecutor] = ProcessExecutor) -> Gateway:
    """Put the plugin together.

    :param gateway: Orthanc.
    :param executable: the Python that workers run.
    :param pool: what has the workers.
    :returns: what must be kept as long as Orthanc runs.
    :raises DerivedSeriesError: a configuration that is wrong, or a folder that cannot be used.
    """
    configuration = gateway.configuration()
    settings = Settings.of(configuration.get("DerivedSeries", {}))
    around = OrthancConfiguration.of(configuration, gateway.configuration_path())
    folders = tuple(str(around.folder / folder) for folder in settings.blueprint_folders)
    holder = f"{configuration.get('Name', 'Orthanc')!r} at {around.url}"
    name = settings.node_name or f"{socket.gethostname()[:30]}-{urlsplit(around.url).port}"
    folder = jobs_folder(settings, around, name)
    database = None if settings.jobs_database is None else shared_database(settings.jobs_database, name)
    store = opened(folder, holder, database)
    nodes = OneNode() if database is None else nodes_of(database)
    json_log = _log_as_configured(gateway, settings, store)
    store.remove_stray_images()  # now, before the first request can bring another
    scratch = store.folder / "scratch"
    ours = Interpreter.ours(executable)
    executor = pool(
        settings.workers,
        initializer=warm_up,
        initargs=(folders,),
        interpreter=ours,
        keeping=Keeping(idle=settings.idle_seconds),
    )
    attempts = Attempts()
    bundles = Bundles(folders)
    environments = Environments(
        {
            **local_environments(settings, around.folder, folders),
            **remote_environments(settings, around, ours, attempts, bundles, store.folder / "environments"),
        }
    )
    spare = OverflowExecutor(executor, lambda: pool(1, initializer=warm_up_for_pages, interpreter=ours))
    connection = Connection(
        settings.orthanc_url or around.url,
        authorization=gateway.authorization(),
        headers=tuple(settings.orthanc_headers.items()),
        dicomweb_root=around.dicomweb_root,
        store_timeout=settings.store_timeout,
        verify=True if settings.ca_bundle is None else str(around.folder / settings.ca_bundle),
    )

    logs = RuleLogs.of(store)
    log = logs.firings
    verdicts = VerdictLog(store)
    audit_file = AuditFile(store.folder / "audit.jsonl", settings.audit_room)
    audit = Audit(gateway, AuditLog(store), audit_file)
    callers = Callers(
        connection,
        has_profiles=around.has_profiles,
        authenticates=around.authenticates,
        at_once=around.http_threads // 4,
    )
    series_numbers = SeriesNumbers(store)
    retrievals = Retrievals(store)
    on_the_way = settings.store_timeout + _ON_THE_WAY_SECONDS
    leftovers = Leftovers(store, on_the_way, gateway.remove_series, lambda: nodes.leads)
    numbers = tag_numbers(settings.rules, gateway.tag_number)

    def make_task(job: JobRecord) -> DeriveTask:
        path = job.image and str(store.image_path(job) or job.image)
        fired = log.of_job(job.id)
        replaced = store.succeeded_on(job.subject, but=job.id) if job.request.get("IfExists") == "Replace" else []
        superseded = [] if fired is None else log.replaced_by(fired)
        former = [*replaced, *(each for name in superseded if (each := store.find(name)) is not None)]
        former_series = [series for each in former for series in stored_ids(each.result)]
        return DeriveTask(
            job_id=job.id,
            attempt=job.attempt,
            series=job.series,
            request=job.request,
            now=job.now,
            connection=connection,
            folders=folders,
            image_path=path,
            image_route=None if path is None else f"{job_path(job)}/image",
            image_name=job.image or "",
            image_size=store.image_size(job) or 0,
            progress_route=f"{job_path(job)}/progress",
            result=job.result,
            replaces=tuple(series for each in replaced for series in stored_ids(each.result)),
            supersedes=tuple(superseded),
            accepted=tuple(each for each in former_series if (verdicts.of(each) or {}).get("State") == ACCEPTED),
            rule=None if fired is None else fired.to_json(),
            by=audit.asked_by(job.id),
            scratch=str(scratch),
            thorough=leftovers.is_expected(job.id),
            series_number=series_number(gateway, series_numbers, job, library.outputs_of(job)),
            validation=settings.validation,
            connections=max(1, _CONNECTIONS // (1 + store.counts().get(State.RUNNING, 0))),
            memory_limit=settings.memory_limit(pipeline := job.request.get("Pipeline"), environments.name_of(pipeline)),
            image_limit=settings.image_limit,
            retrieve_timeout=settings.retrieve_timeout,
            announced=tuple(retrievals.of_job(job.id)),
        )

    def timeout_of(job: JobRecord) -> float:
        return float(job.request.get("Timeout") or settings.timeout(job.request.get("Pipeline")))

    metrics = Metrics(gateway, store)
    outbox = Outbox(store, [receiver.key for receiver in settings.notify])
    messengers = [
        Messenger(
            each, outbox, True if each.ca_bundle is None else str(around.folder / each.ca_bundle), lambda: nodes.leads
        )
        for each in settings.notify
    ]
    notifier = Notifier(
        outbox,
        messengers,
        str(configuration.get("Name", "Orthanc")),
        rule_of=lambda job_id: None if (fired := log.of_job(job_id)) is None else fired.firing.rule,
        patient_of=lambda series: patient_of(gateway, series),
        tell_who_sends=lambda: None if nodes.leads else nodes.tell(NOTICE),
        job_of=store.find,
    )

    def observe(job: JobRecord) -> None:
        remove_scratch(scratch, job)
        reviews.observe(job)
        bulk.observe(job)
        mark_retrieved(gateway, retrievals, job)
        metrics.observe(job)
        if job.result is not None and job.state is not State.RUNNING:
            for series in stored_ids(job.result):  # all of it is there: rules on it need not wait for StableAge
                gateway.set_stable(series)

    previews = OverflowExecutor(executor, lambda: pool(1, initializer=warm_up, initargs=(folders,), interpreter=ours))
    runner = JobRunner(
        store,
        executor,
        WORK,
        make_task,
        settings.limits,
        timeout_of,
        observe,
        leftovers,
        previews,
        environments,
        notifier,
        nodes,
    )
    reviews = Reviews(gateway, runner, verdicts, notifier)
    ohif = Ohif(None if settings.ohif_folder is None else around.folder / settings.ohif_folder)
    library = LibraryRoutes(
        executor, environments, runner, settings, folders, ohif.is_installed, gateway.features(), notifier
    )
    destinations = Destinations(gateway, connection)
    health = Health(runner, executor, environments, library.catalogues, outbox, settings, destinations, around.storage)
    for name, environment in environments.items():
        environment.listen(partial(library.catalogues.look_again, name))
    waiters = Waiters(around.waiters(settings.workers))
    derivations = Derivations(gateway, runner, library, settings, reviews, destinations, audit)
    derive = DeriveRoutes(derivations, runner, settings, waiters, callers)
    verdict = VerdictRoutes(gateway, reviews, runner, ohif, waiters, callers, audit)
    changes = ChangeReader(gateway, log, around.stable_age)
    firer = Firer(runner, library, logs, settings, audit, notifier)
    watch = StudyWatch(settings.rules, logs, firer)
    forwarding = Forwarding(store, reviews, logs, audit, settings.hold_until_accepted)
    trigger = RuleTrigger(
        gateway,
        runner,
        logs,
        retrievals,
        changes,
        settings.rules,
        numbers,
        firer,
        watch,
        forwarding,
        notifier,
        nodes,
    )
    bulk_log = BulkLog(store)
    finder = MemberFinder(gateway, reviews, library, bulk_log)
    checks = FitChecks(spare, environments, library.catalogues, connection, folders)
    bulk = BulkDriver(
        gateway,
        runner,
        bulk_log,
        finder,
        checks,
        derivations,
        reviews,
        audit,
        settings.workers,
        lambda wake: Comparisons(spare, connection, str(scratch), wake),
        store.files,
        nodes,
    )
    pages = Pages({"ohif/ohif-config.js": {"/dicom-web": around.dicomweb_root}})
    gateway.extend_explorer(pages.text("explorer/explorer.js"))
    served = routes(
        library,
        derive,
        JobRoutes(runner, log, JobLogs(store), retrievals, callers, audit, attempts),
        ProvenanceRoutes(gateway),
        verdict,
        pages,
        ReviewRoutes(gateway, spare, connection, waiters, scratch),
        ohif,
        RuleRoutes(gateway, spare, library, store, logs, retrievals, watch, settings.rules, destinations),
        FittingRoutes(gateway, spare, environments, library.catalogues, runner, reviews, connection, waiters, folders),
        BulkRoutes(bulk_log, bulk, finder, checks, derivations, library, callers, audit, waiters, store.files, gateway),
        MonitoringRoutes(health, metrics, outbox, settings),
        RemoteRoutes(attempts, bundles, runner),
    )
    gateway.serve(served, around.doorkeeper(settings), attempts)

    if isinstance(store, FullStore):
        store.shut()

    def begin() -> None:
        if store.problem is not None:
            return
        leftovers.start()
        environments.start()
        runner.start()  # first: what fails below costs no job
        notifier.start()
        trigger.start()
        bulk.start()
        nodes.start(Part(lead, resign, hear))

    def lead() -> None:
        leftovers.lead()
        if not nodes.is_alone:
            runner.lead()
        trigger.lead()
        notifier.wake_here()
        bulk.wake()
        if nodes.is_alone:
            reviews.settle_all()
        else:  # beside the thread that has to say every second that this Orthanc is there
            threading.Thread(target=reviews.settle_all, name="reviews", daemon=True).start()

    def resign() -> None:
        leftovers.resign()
        runner.resign()

    def hear(what: str, job_id: str) -> None:
        runner.hear(what, job_id)
        if what == STABLE and nodes.leads:
            trigger.wake()
        elif what == BULK and nodes.leads:
            bulk.wake()
        elif what == NOTICE and nodes.leads:
            notifier.wake_here()
        elif what == GONE and nodes.leads:
            trigger.catch_up()

    def end() -> None:
        nodes.stop()
        trigger.stop()
        bulk.stop()
        spare.shutdown()
        runner.stop()
        leftovers.stop()
        notifier.stop()
        if database is not None:  # with its session the lock of the one that leads goes to another, at once
            database.close()
        audit_file.close()
        if json_log is not None:
            json_log.close()

    gateway.on_changes(begin, end, trigger.wake)
    place = store.folder if database is None else f"PostgreSQL (this Orthanc is {name})"
    _log.warning("%d workers; jobs in %s; blueprints in %s", settings.workers, place, ", ".join(folders))
    return gateway


def _log_as_configured(gateway: Gateway, settings: Settings, store: JobStore) -> JsonLog | None:
    """Have lines of the log be JSON, where that is asked for; in a file of the jobs folder as well."""
    if settings.log_format == "Text":
        return None
    gateway.log_as(JsonLines())
    return JsonLog(store.folder / "log.jsonl", settings.log_room)
