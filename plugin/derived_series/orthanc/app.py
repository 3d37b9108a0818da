"""Puts the plugin together: configuration, workers, jobs, routes."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from derived_series.dicomweb.client import Connection
from derived_series.jobs.bulk.bulk_log import BulkLog
from derived_series.jobs.notices.messenger import Messenger
from derived_series.jobs.notices.notifier import Notifier
from derived_series.jobs.notices.outbox import Outbox
from derived_series.jobs.pool.executor import ProcessExecutor
from derived_series.jobs.pool.launch import Interpreter
from derived_series.jobs.queue.audit_log import AuditFile, AuditLog
from derived_series.jobs.queue.full_store import FullStore
from derived_series.jobs.queue.job_logs import JobLogs
from derived_series.jobs.queue.leftovers import Leftovers
from derived_series.jobs.queue.nodes import NOTICE, Nodes
from derived_series.jobs.queue.reserved_numbers import SeriesNumbers
from derived_series.jobs.queue.retrievals import Retrievals
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.verdict_log import VerdictLog
from derived_series.jobs.remote.attempts import Attempts
from derived_series.jobs.remote.bundles import Bundles
from derived_series.jobs.rules.log import FiringLog
from derived_series.jobs.rules.logs import RuleLogs
from derived_series.jobs.scratch import remove_unused
from derived_series.jobs.work.entry import WORK
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.bulk_checks import FitChecks
from derived_series.orthanc.bulk_comparisons import Comparisons
from derived_series.orthanc.bulk_driver import BulkDriver
from derived_series.orthanc.bulk_finder import MemberFinder
from derived_series.orthanc.callers import Callers
from derived_series.orthanc.changes import ChangeReader
from derived_series.orthanc.config import OrthancConfiguration, Settings
from derived_series.orthanc.derivations import Derivations
from derived_series.orthanc.derive_tasks import DeriveTasks
from derived_series.orthanc.destinations import Destinations
from derived_series.orthanc.firing import Firer
from derived_series.orthanc.forwarding import Forwarding
from derived_series.orthanc.health import Health
from derived_series.orthanc.job_observer import JobObserver
from derived_series.orthanc.job_storage import JobStorage
from derived_series.orthanc.life_cycle import LifeCycle
from derived_series.orthanc.log_format import JsonLines, JsonLog
from derived_series.orthanc.memory_return import trim_of_libc
from derived_series.orthanc.metrics import Metrics
from derived_series.orthanc.patients import patient_of
from derived_series.orthanc.periodic import Periodic
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
from derived_series.orthanc.studies import tag_numbers
from derived_series.orthanc.study_watch import StudyWatch
from derived_series.orthanc.triggers import RuleTrigger
from derived_series.orthanc.verdict_settling import Settling
from derived_series.orthanc.waiters import Waiters
from derived_series.orthanc.worker_pools import WorkerPools

_log = logging.getLogger(__name__)

#: Seconds that Orthanc may need to finish a request after its timeout.
_ON_THE_WAY_SECONDS = 60.0

#: Seconds between two returns of free memory to the system, and between two looks at the scratch folder.
_TRIM_SECONDS, _SWEEP_SECONDS = 30.0, 60.0


def start(gateway: Gateway, executable: Path, pool: type[ProcessExecutor] = ProcessExecutor) -> Gateway:
    """Put the plugin together.

    :param gateway: Orthanc.
    :param executable: the Python that workers run.
    :param pool: makes the workers.
    :returns: an object to keep as long as Orthanc runs.
    :raises DerivedSeriesError: the configuration is wrong, or a folder cannot be used.
    """
    configuration = gateway.configuration()
    settings = Settings.of(configuration.get("DerivedSeries", {}))
    around = OrthancConfiguration.of(configuration, gateway.configuration_path())
    server = str(configuration.get("Name", "Orthanc"))
    folders = tuple(str(around.folder / folder) for folder in settings.blueprint_folders)

    # Storage: the jobs, and the logs of what was done with them.
    storage = JobStorage.open(settings, around, server)
    store, nodes = storage.store, storage.nodes
    json_log = _log_as_configured(gateway, settings, store)
    store.remove_stray_images()  # now, before a request can add an image
    scratch = store.folder / "scratch"
    logs = RuleLogs.of(store)
    verdicts = VerdictLog(store)
    bulk_log = BulkLog(store)
    retrievals = Retrievals(store)
    audit_file = AuditFile(store.folder / "audit.jsonl", settings.audit_room)
    audit = Audit(gateway, AuditLog(store), audit_file)

    # The workers, and their connection to Orthanc.
    attempts, bundles = Attempts(lambda: nodes.is_silent), Bundles(folders)
    pools = WorkerPools.start(
        pool, Interpreter.ours(executable), settings, around, folders, attempts, bundles, store.folder / "environments"
    )
    connection = _connection(gateway, settings, around)

    # The jobs.
    span = settings.store_timeout + _ON_THE_WAY_SECONDS
    leftovers = Leftovers(store, span, gateway.remove_series, lambda: nodes.leads)
    outbox = Outbox(store, [receiver.key for receiver in settings.notify])
    notifier = _notifier(gateway, settings, around, server, outbox, store, nodes, logs.firings)
    tasks = DeriveTasks(
        gateway=gateway,
        settings=settings,
        connection=connection,
        folders=folders,
        scratch=scratch,
        environments=pools.environments,
        store=store,
        firings=logs.firings,
        verdicts=verdicts,
        retrievals=retrievals,
        series_numbers=SeriesNumbers(store),
        leftovers=leftovers,
        audit=audit,
        outputs_of=lambda job: library.outputs_of(job),  # the library is made below: it needs the runner
    )
    runner = JobRunner(
        store,
        pools.jobs,
        WORK,
        tasks.task_of,
        settings.limits,
        tasks.timeout_of,
        lambda job: observer.observe(job),  # likewise
        leftovers,
        pools.previews,
        pools.environments,
        notifier,
        nodes,
        gateway.instance_counts,
    )

    # Requests by people and rules.
    reviews = Reviews(gateway, runner, verdicts, notifier)
    ohif = Ohif(None if settings.ohif_folder is None else around.folder / settings.ohif_folder)
    library = LibraryRoutes(
        pools.jobs, pools.environments, runner, settings, folders, ohif.is_installed, gateway.features(), notifier
    )
    for name, environment in pools.environments.items():
        environment.listen(partial(library.catalogues.look_again, name))
    destinations = Destinations(gateway, connection)
    derivations = Derivations(gateway, runner, library, settings, reviews, destinations, audit)

    # The rules.
    firer = Firer(runner, library, logs, settings, audit, notifier)
    watch = StudyWatch(settings.rules, logs, firer)
    trigger = RuleTrigger(
        gateway,
        runner,
        logs,
        retrievals,
        ChangeReader(gateway, logs.firings, around.stable_age),
        settings.rules,
        tag_numbers(settings.rules, gateway.tag_number),
        firer,
        watch,
        Forwarding(store, reviews, logs, audit, settings.hold_until_accepted),
        notifier,
        nodes,
    )

    # The runs over many series.
    finder = MemberFinder(gateway, reviews, library, bulk_log)
    checks = FitChecks(pools.pages, pools.environments, library.catalogues, connection, folders)
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
        partial(Comparisons, pools.pages, connection, str(scratch)),
        store.files,
        nodes,
    )

    # Metrics, and the effects of jobs' changes.
    metrics = Metrics(gateway, store)
    observer = JobObserver(gateway, scratch, reviews, bulk, retrievals, metrics)
    health = Health(
        runner, pools.jobs, pools.environments, library.catalogues, outbox, settings, destinations, around.storage
    )

    # The routes and the pages.
    waiters = Waiters(around.waiters(settings.workers))
    callers = Callers(
        connection,
        has_profiles=around.has_profiles,
        authenticates=around.authenticates,
        at_once=around.http_threads // 4,
    )
    pages = Pages({"ohif/ohif-config.js": {"/dicom-web": around.dicomweb_root}})
    gateway.extend_explorer(pages.text("explorer/explorer.js"))
    served = routes(
        library,
        DeriveRoutes(derivations, runner, settings, waiters, callers),
        JobRoutes(runner, logs.firings, JobLogs(store), retrievals, callers, audit, attempts, waiters, reviews),
        ProvenanceRoutes(gateway),
        VerdictRoutes(gateway, reviews, runner, ohif, waiters, callers, audit),
        pages,
        ReviewRoutes(gateway, pools.pages, connection, waiters, scratch),
        ohif,
        RuleRoutes(gateway, pools.pages, library, store, logs, retrievals, watch, settings.rules, destinations),
        FittingRoutes(
            gateway, pools.pages, pools.environments, library.catalogues, runner, reviews, connection, waiters, folders
        ),
        BulkRoutes(
            bulk_log,
            bulk,
            finder,
            checks,
            derivations,
            library,
            callers,
            audit,
            waiters,
            store.files,
            gateway,
            reviews,
            nodes,
        ),
        MonitoringRoutes(health, metrics, outbox, settings),
        RemoteRoutes(attempts, bundles, runner),
    )
    gateway.serve(served, around.doorkeeper(settings), attempts)
    if isinstance(store, FullStore):
        store.shut()

    # From Orthanc's start to its end.
    files = (audit_file,) if json_log is None else (audit_file, json_log)
    memory = Periodic("memory", trim_of_libc(), _TRIM_SECONDS)
    sweep = Periodic("scratch", partial(remove_unused, scratch), _SWEEP_SECONDS)
    settling = Settling(reviews, nodes)
    life = LifeCycle(storage, pools, leftovers, runner, notifier, trigger, bulk, settling, memory, sweep, files)
    gateway.on_changes(life.begin, life.end, trigger.wake)
    _log.warning("%d workers; jobs in %s; blueprints in %s", settings.workers, storage.place, ", ".join(folders))
    return gateway


def _connection(gateway: Gateway, settings: Settings, around: OrthancConfiguration) -> Connection:
    """The connection from workers on this machine to Orthanc."""
    return Connection(
        settings.orthanc_url or around.url,
        authorization=gateway.authorization(),
        headers=tuple(settings.orthanc_headers.items()),
        dicomweb_root=around.dicomweb_root,
        store_timeout=settings.store_timeout,
        verify=True if settings.ca_bundle is None else str(around.folder / settings.ca_bundle),
    )


def _notifier(
    gateway: Gateway,
    settings: Settings,
    around: OrthancConfiguration,
    server: str,
    outbox: Outbox,
    store: JobStore,
    nodes: Nodes,
    firings: FiringLog,
) -> Notifier:
    """The sender of notices about jobs, which works while its Orthanc leads. :param server: Orthanc's name."""

    def rule_of(job_id: str) -> str | None:
        fired = firings.of_job(job_id)
        return None if fired is None else fired.firing.rule

    messengers = [
        Messenger(
            each, outbox, True if each.ca_bundle is None else str(around.folder / each.ca_bundle), lambda: nodes.leads
        )
        for each in settings.notify
    ]
    return Notifier(
        outbox,
        messengers,
        server,
        rule_of=rule_of,
        patient_of=partial(patient_of, gateway),
        tell_who_sends=lambda: None if nodes.leads else nodes.tell(NOTICE),
        job_of=store.find,
    )


def _log_as_configured(gateway: Gateway, settings: Settings, store: JobStore) -> JsonLog | None:
    """Set the log's format; with JSON, write a file in the jobs folder as well."""
    if settings.log_format == "Text":
        return None
    gateway.log_as(JsonLines())
    return JsonLog(store.folder / "log.jsonl", settings.log_room)
