"""The work of a derivation: parents in, image, series out, verified; or nothing at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.selection import ALL, Selection
from derived_series.dicom.source.series import ParentSeries
from derived_series.dicomweb.readback import SeriesOnServer, describe_series
from derived_series.errors import Conflict, UserCodeError
from derived_series.jobs.destination_states import HELD, PENDING
from derived_series.jobs.messages import Outcome
from derived_series.jobs.plain import cut
from derived_series.jobs.pool.process import one_process
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.work.attempt import Attempt
from derived_series.jobs.work.catalogue import library_of
from derived_series.jobs.work.delivery import send_on
from derived_series.jobs.work.dry_run import dry_run_report
from derived_series.jobs.work.fetching import fetch_headers, fetch_parent
from derived_series.jobs.work.options import options_of
from derived_series.jobs.work.provenance import record_provenance
from derived_series.jobs.work.removal import remove_former
from derived_series.jobs.work.storing import store_and_verify
from derived_series.jobs.work.uploaded_image import uploaded_image
from derived_series.pipelines.library import Library
from derived_series.pipelines.run import checked_parameters, run_blueprint, run_pipeline


def derive(attempt: Attempt) -> Outcome:
    """Make the derived series of a job and store it; or only send it on, where an earlier attempt has stored it."""
    if attempt.task.result is not None:
        return send_on(attempt, attempt.task.result)
    with _begun(attempt) as derivation:
        return derivation.run()


@contextmanager
def _begun(attempt: Attempt) -> Iterator[Derivation]:
    """The derivation of an attempt, in a folder of its own that is gone afterwards."""
    request = DeriveRequest.of(attempt.task.request)
    library = library_of(attempt.task.folders)
    if request.pipeline is not None:  # before the parents are fetched
        checked_parameters(library.pipeline(request.pipeline).pipeline, request.parameters)
    sources = _sources(attempt, request, library)
    scratch = attempt.task.scratch
    is_here = scratch is not None and Path(scratch).is_dir()
    with tempfile.TemporaryDirectory(prefix="derived-series-", dir=scratch if is_here else None) as folder:
        yield Derivation(attempt, request, library, sources, Path(folder))


def _sources(attempt: Attempt, request: DeriveRequest, library: Library) -> dict[str, SeriesOnServer]:
    """The series that a derivation reads, by input name; that of the URL first."""
    parent_name = "parent"
    if request.pipeline is not None:
        parent_name = library.pipeline(request.pipeline).pipeline.parent_name()
    if parent_name in request.inputs:
        raise Conflict(
            f"the input {parent_name!r} of pipeline {request.pipeline!r} is the series of the URL",
            remedy="leave it out of Inputs",
        )
    series = {parent_name: attempt.task.series, **request.inputs}
    return {name: describe_series(attempt.client, orthanc_id) for name, orthanc_id in series.items()}


@dataclass(frozen=True, slots=True)
class Derivation:
    """An attempt that makes a derived series.

    :param request: what was asked for, checked.
    :param library: pipelines, blueprints and factories of the blueprint folders.
    :param sources: the series that are read, by input name; the parent first.
    :param folder: a folder for temporary files.
    """

    attempt: Attempt
    request: DeriveRequest
    library: Library
    sources: Mapping[str, SeriesOnServer]
    folder: Path

    def run(self) -> Outcome:
        """Build the series, store and verify it, write down where it comes from, and send it on."""
        with one_process():
            series, parent = self._build()
        answer: dict[str, Any] = {
            "InstancesCount": len(series),
            "ParentSeries": self.attempt.task.series,
            "SeriesInstanceUID": series.series_instance_uid,
            "Warnings": [cut(str(warning)) for warning in series.warnings],
        }
        if self.request.dry_run:
            report = dry_run_report(series, parent, with_picture=self.request.preview)
            return Outcome(result={"DryRun": True, **answer, **report})
        orthanc_id = self._store(series)
        answer["Warnings"] += remove_former(self.attempt)
        result = {"Type": "Series", "ID": orthanc_id, "Path": f"/series/{orthanc_id}", **answer}
        result["Seconds"] = self.attempt.progress.seconds()
        if self.request.destinations:
            state = HELD if self.request.hold_until_accepted else PENDING
            result["Destinations"] = dict.fromkeys(self.request.destinations, state)
        return send_on(self.attempt, result)

    def _store(self, series: Series) -> str:
        """Store a series with its provenance; its Orthanc identifier. All of its parents are there before and after."""
        if series.series_instance_uid != self.attempt.series_uid:
            raise UserCodeError(
                "the pipeline returned a series with a SeriesInstanceUID of its own",
                remedy="build it from input_container.header",
            )
        self.attempt.check_parents()
        orthanc_id = store_and_verify(self.attempt, series)
        parents = {name: (source.orthanc_id, source.series_instance_uid) for name, source in self.sources.items()}
        record_provenance(self.attempt, orthanc_id, series, parents, self._code())
        self.attempt.check_parents()  # all that is stored was there when they were, or goes again
        return orthanc_id

    def _code(self) -> dict[str, str]:
        """The file that was run or applied."""
        request = self.request
        named = (
            self.library.pipeline(request.pipeline)
            if request.pipeline
            else self.library.blueprint(request.blueprint or "")
        )
        return {"Name": named.name, "File": named.file.name, "Sha256": named.sha256}

    def _build(self) -> tuple[Series, ParentSeries]:
        """The derived series, and its parent."""
        return self._by_blueprint() if self.request.pipeline is None else self._by_pipeline(self.request.pipeline)

    def _by_blueprint(self) -> tuple[Series, ParentSeries]:
        attempt, request = self.attempt, self.request
        options = options_of(request, attempt.task.validation)
        (source,) = self.sources.values()
        selection = Selection(request.orientation, request.part)
        if attempt.task.image_route is None:  # the image is made of the parent's values
            parent = fetch_parent(attempt, source, selection, self.folder)
        else:
            parent = fetch_headers(attempt, source, selection)
        attempt.progress.tell("Building")
        blueprint, factory = request.blueprint or "", request.factory or ""
        with uploaded_image(attempt) as image:
            series = run_blueprint(self.library, blueprint, factory, parent, image, options, attempt.context)
        return series, parent

    def _by_pipeline(self, name: str) -> tuple[Series, ParentSeries]:
        attempt, request = self.attempt, self.request
        options = options_of(request, attempt.task.validation)
        selections = {next(iter(self.sources)): Selection(request.orientation, request.part)}  # of the URL's series
        parents = {
            name: fetch_parent(attempt, source, selections.get(name, ALL), self.folder)
            for name, source in self.sources.items()
        }
        attempt.progress.tell("Processing")
        series = run_pipeline(self.library, name, parents, request.parameters, options, attempt.context)
        return series, next(iter(parents.values()))
