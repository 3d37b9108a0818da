"""The work of a derivation: fetch the parents, build, store and verify the series; or leave nothing."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.selection import ALL, Selection
from derived_series.dicomweb.readback import SeriesOnServer, describe_series
from derived_series.errors import Conflict, InvalidRequest, UserCodeError
from derived_series.jobs.destination_states import HELD, PENDING, with_states
from derived_series.jobs.messages import Outcome
from derived_series.jobs.plain import LONGEST_CHARACTERS
from derived_series.jobs.pool.process import one_process
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.scratch import prefix_of
from derived_series.jobs.stored_series import answer_of
from derived_series.jobs.work.attempt import Attempt
from derived_series.jobs.work.catalogue import library_of
from derived_series.jobs.work.delivery import send_on
from derived_series.jobs.work.dry_run import dry_run_report
from derived_series.jobs.work.fetching import fetch_headers, fetch_objects, fetch_parent
from derived_series.jobs.work.options import options_of
from derived_series.jobs.work.priors import latest_prior
from derived_series.jobs.work.provenance import record_provenance
from derived_series.jobs.work.removal import with_former, without_former
from derived_series.jobs.work.retrieval import retrieved
from derived_series.jobs.work.storing import store_and_verify
from derived_series.jobs.work.uploaded_image import uploaded_image
from derived_series.pipelines.blueprint_kinds import kind_made_by
from derived_series.pipelines.blueprint_run import run_blueprint
from derived_series.pipelines.checked_parameters import checked_parameters
from derived_series.pipelines.library import Library, NamedPipeline
from derived_series.pipelines.output import RESULT
from derived_series.pipelines.run import Results, run_outputs
from derived_series.pipelines.workplace import Workplace
from derived_series.shortening import shortened


def derive(attempt: Attempt) -> Outcome:
    """Make and store the derived series of a job, or only do what follows if an earlier attempt stored it."""
    if attempt.task.result is not None:
        return send_on(attempt, without_former(attempt, attempt.task.result))
    with _begun(attempt) as derivation:
        return derivation.run()


@contextmanager
def _begun(attempt: Attempt) -> Iterator[Derivation]:
    """The derivation of an attempt, with a temporary folder."""
    request = DeriveRequest.of(attempt.task.request)
    library = library_of(attempt.task.folders)
    if request.pipeline is not None:  # before the parents are fetched
        checked_parameters(library.pipeline(request.pipeline).pipeline, request.parameters)
    sources, origins = _sources(attempt, request, library)
    scratch = attempt.task.scratch
    is_here = scratch is not None and Path(scratch).is_dir()
    with tempfile.TemporaryDirectory(prefix=prefix_of(attempt.task.job_id), dir=scratch if is_here else None) as folder:
        yield Derivation(attempt, request, library, sources, Path(folder), origins)


def _sources(
    attempt: Attempt, request: DeriveRequest, library: Library
) -> tuple[dict[str, SeriesOnServer], tuple[Mapping[str, Any], ...]]:
    """The series that a derivation reads, by input name, the URL's first; and those that were retrieved for it."""
    if request.pipeline is None:
        return {"parent": describe_series(attempt.client, attempt.task.series)}, ()
    pipeline = library.pipeline(request.pipeline).pipeline
    parent_name = pipeline.parent_name()
    for key, names in (("Inputs", request.inputs), ("Retrieve", request.retrieve)):
        if parent_name in names:
            raise Conflict(
                f"the input {parent_name!r} of pipeline {request.pipeline!r} is the series of the URL",
                remedy=f"leave it out of {key}",
            )
    if unknown := [name for name in request.retrieve if name not in pipeline.input]:
        raise InvalidRequest(
            f"the pipeline {request.pipeline!r} has no input {', '.join(unknown)}",
            remedy=f"name in Retrieve one of {', '.join(pipeline.input)}",
        )
    series = {parent_name: attempt.task.series, **request.inputs}
    origins = []
    for name, asked in request.retrieve.items():
        brought = retrieved(attempt, name, pipeline.input[name], asked)
        series |= {} if brought.series is None else {name: brought.series}
        origins += [] if brought.origin is None else [brought.origin]
    for name, wanted in pipeline.input.items():
        if (
            wanted.prior
            and name not in series
            and name not in request.retrieve
            and (prior := latest_prior(attempt.client, attempt.task.series, wanted))
        ):
            series[name] = prior
    return {name: describe_series(attempt.client, orthanc_id) for name, orthanc_id in series.items()}, tuple(origins)


@dataclass(frozen=True, slots=True)
class Derivation:
    """An attempt that makes a derived series.

    :param request: the checked request.
    :param library: the pipelines, blueprints and factories of the blueprint folders.
    :param sources: the series that it reads, by input name, the parent first.
    :param folder: a folder for temporary files.
    :param origins: the series that were retrieved from other servers, as in the answer.
    """

    attempt: Attempt
    request: DeriveRequest
    library: Library
    sources: Mapping[str, SeriesOnServer]
    folder: Path
    origins: tuple[Mapping[str, Any], ...] = ()

    def run(self) -> Outcome:
        """Build the series, store and verify them, record their provenance, and send them on."""
        with one_process():
            results, parent = self._build()
        common: dict[str, Any] = {"ParentSeries": self.attempt.task.series, **_values(results), **self._retrieved()}
        if self.request.dry_run:
            reports = [
                _described(name, series) | dry_run_report(series, parent, with_picture=self.request.preview)
                for name, series in results.series.items()
            ]
            return Outcome(result={"DryRun": True, **answer_of(reports, common)})
        stored = self._store(results)
        entries = [
            {"ID": stored[name], "Path": f"/series/{stored[name]}", **_described(name, series)}
            for name, series in results.series.items()
        ]
        result = answer_of(entries, {**common, "Seconds": self.attempt.progress.seconds()})
        if self.request.destinations:
            state = HELD if self.request.hold_until_accepted else PENDING
            states = dict.fromkeys(self.request.destinations, state)
            result = with_states(result, dict.fromkeys(stored.values(), states))
        return send_on(self.attempt, without_former(self.attempt, with_former(self.attempt, result)))

    def _store(self, results: Results) -> dict[str, str]:
        """Store all series with their provenance; return their Orthanc identifiers by output.

        All parents must exist before and after.
        """
        uids = [series.series_instance_uid for series in results.series.values()]
        if len(set(uids)) < len(uids) or not set(uids) <= set(self.attempt.series_uids):
            raise UserCodeError(
                "the pipeline returned a series with a SeriesInstanceUID of its own",
                remedy="build it from input_container.header, or from that of its output in input_container.headers",
            )
        inputs = {name: source.orthanc_id for name, source in list(self.sources.items())[1:]}
        self.attempt.check_parents(inputs)
        stored = store_and_verify(self.attempt, results.series)
        parents = {name: (source.orthanc_id, source.series_instance_uid) for name, source in self.sources.items()}
        siblings = [
            {"Output": name, "ID": stored[name], "SeriesInstanceUID": series.series_instance_uid}
            for name, series in results.series.items()
        ]
        of_job = {**_values(results), **self._retrieved(), **({"Series": siblings} if len(siblings) > 1 else {})}
        for name, series in results.series.items():  # only when all are stored
            record_provenance(self.attempt, stored[name], series, parents, self._code(), {"Output": name, **of_job})
        self.attempt.check_parents(inputs)  # if one was deleted meanwhile, what was stored is removed
        return stored

    def _retrieved(self) -> dict[str, Any]:
        return {"Retrieved": list(self.origins)} if self.origins else {}

    def _code(self) -> dict[str, Any]:
        """The file of the pipeline or blueprint with its name and digests, for the provenance."""
        request = self.request
        named = (
            self.library.pipeline(request.pipeline)
            if request.pipeline
            else self.library.blueprint(request.blueprint or "")
        )
        more = named.code.to_json() if isinstance(named, NamedPipeline) else {}
        return {"Name": named.name, "File": named.file.name, "Sha256": named.sha256, **more}

    def _build(self) -> tuple[Results, ParentSeries]:
        """Build the derived series; return them with their parent."""
        return self._by_blueprint() if self.request.pipeline is None else self._by_pipeline(self.request.pipeline)

    def _by_blueprint(self) -> tuple[Results, ParentSeries]:
        attempt, request = self.attempt, self.request
        options = options_of(request, attempt.task.validation)
        (source,) = self.sources.values()
        selection = Selection(request.orientation, request.part)
        kind = kind_made_by(self.library.blueprint(request.blueprint or "").blueprint + options.extra)
        if attempt.task.image_route is None or (kind is not None and kind.shows_parent):
            parent = fetch_parent(attempt, source, selection, self.folder)
        else:
            parent = fetch_headers(attempt, source, selection)
        attempt.progress.tell("Building")
        blueprint, factory = request.blueprint or "", request.factory or ""
        with uploaded_image(attempt) as image:
            series = run_blueprint(self.library, blueprint, factory, parent, image, options, attempt.context)
        return Results({RESULT: series}, {}), parent

    def _by_pipeline(self, name: str) -> tuple[Results, ParentSeries]:
        attempt, request = self.attempt, self.request
        options = options_of(request, attempt.task.validation)
        wanted = self.library.pipeline(name).pipeline.input
        selections = {next(iter(self.sources)): Selection(request.orientation, request.part)}  # of the URL's series
        parents = {
            key: fetch_objects(attempt, source)
            if key in wanted and wanted[key].reads_objects()
            else fetch_parent(attempt, source, selections.get(key, ALL), self.folder)
            for key, source in self.sources.items()
        }
        attempt.progress.tell("Processing")
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        place = Workplace(folder, attempt.reporter.progress, logging.getLogger(name).info)
        results = run_outputs(self.library, name, parents, request.parameters, options, attempt.context, place)
        attempt.reporter.flush()  # before the next phase is reported
        return results, next(iter(parents.values()))


def _values(results: Results) -> dict[str, Any]:
    return {"Values": {name: value.to_json() for name, value in results.values.items()}} if results.values else {}


def _described(name: str, series: Series) -> dict[str, Any]:
    return {
        "Output": name,
        "InstancesCount": len(series),
        "SeriesInstanceUID": series.series_instance_uid,
        "Warnings": [shortened(str(warning), LONGEST_CHARACTERS) for warning in series.warnings],
    }
