"""An attempt at a job, in a worker process: parents in, image, series out, verified; or nothing at all."""

from __future__ import annotations

import logging
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.factories.nifti import announced_size
from derived_series.dicom.source.selection import ALL, Selection
from derived_series.dicom.source.series import ParentSeries
from derived_series.dicomweb.client import Client
from derived_series.dicomweb.readback import (
    Sample,
    SeriesOnServer,
    describe_series,
    find_series,
    instances_held,
    remove_series,
    verify,
)
from derived_series.dicomweb.stow import Cut, Part10, store
from derived_series.dicomweb.wado import fetch_series
from derived_series.errors import Conflict, DerivedSeriesError, InvalidImage, StorageError, UserCodeError
from derived_series.jobs.destination_states import HELD, PENDING
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.own_requests import marked
from derived_series.jobs.plain import LONGEST, cut, text_of
from derived_series.jobs.pool.memory import memory_bound
from derived_series.jobs.pool.process import one_process
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.work.catalogue import library_of
from derived_series.jobs.work.delivery import send_on
from derived_series.jobs.work.dry_run import told
from derived_series.jobs.work.options import options_of
from derived_series.jobs.work.output import output_of
from derived_series.jobs.work.own_series import remove_former, series_uid
from derived_series.jobs.work.parents import check_parents, deletion
from derived_series.jobs.work.progress import NotWanted, Progress
from derived_series.jobs.work.provenance import record_provenance
from derived_series.pipelines.library import Library
from derived_series.pipelines.run import Series, checked_parameters, run_blueprint, run_pipeline
from derived_series.user_code import described

_log = logging.getLogger(__name__)

#: A parent of more bytes than this is kept in files while it is worked on.
_HELD_IN_MEMORY = 256 << 20


def attempt(task: DeriveTask, work: Callable[[Client, DeriveTask], Outcome] | None = None) -> Outcome:
    """Do a job; by default, make its derived series. When it fails, nothing is left of it, or the outcome says so."""
    with Client(task.connection) as client:
        try:
            with memory_bound(task.memory_limit), output_of(task.job_id), marked(task.job_id, task.connection.base_url):
                return (work or _derive)(client, task)
        except NotWanted as error:
            # Another attempt may be storing the same instances: hands off, the server removes what is left.
            return Outcome(error=Conflict(f"{error} is no longer wanted"), clean=False)
        except DerivedSeriesError as error:
            failure = error
        except MemoryError:
            failure = UserCodeError(
                "the derivation needs more memory than a worker may have",
                remedy="raise WorkerMemoryMB in the configuration",
            )
        except Exception as error:  # the one boundary of a worker process
            failure = DerivedSeriesError(f"internal error: {described(error)}")
            failure.__cause__ = error
        failure = deletion(client, task) or failure
        if failure.http_status == 500:  # a fault of code, not of the request: the log shows where
            failure.add_note(_trace(failure))
        _make_plain(failure)
        if task.result is not None:  # the series is complete and stays
            return Outcome(result=task.result, error=failure)
        return Outcome(error=failure, clean=_cleaned(client, task), sent=client.has_sent_instances)


def _trace(error: Exception) -> str:
    """The traceback; of a long one, its beginning and its end."""
    text = "".join(traceback.format_exception(error))
    return text if len(text) <= 2 * LONGEST else f"{text[:LONGEST]}\n...\n{text[-LONGEST:]}"


def _make_plain(error: DerivedSeriesError) -> None:
    """Text in place of whatever user code gave an error of ours, so that it can be sent and written down."""
    error.message = text_of(error.message) or type(error).__name__
    error.remedy, error.details = (None if text is None else text_of(text) for text in (error.remedy, error.details))


def _cleaned(client: Client, task: DeriveTask) -> bool:
    try:
        remove_series(client, series_uid(task))
    except DerivedSeriesError as error:
        _log.warning("job %s: its partial series could not be removed yet: %s", task.job_id, error)
        return False
    return True


def _derive(client: Client, task: DeriveTask) -> Outcome:
    progress = Progress(client, task)
    if task.result is not None:
        return send_on(client, task.result, progress)
    request = DeriveRequest.of(task.request)
    library = library_of(task.folders)
    if request.pipeline is not None:  # before the parents are fetched
        checked_parameters(library.pipeline(request.pipeline).pipeline, request.parameters)
    sources = _sources(client, task, request, library)
    here = task.scratch is not None and Path(task.scratch).is_dir()
    with tempfile.TemporaryDirectory(prefix="derived-series-", dir=task.scratch if here else None) as spool:
        return _derive_in(client, task, request, library, sources, progress, Path(spool))


def _derive_in(
    client: Client,
    task: DeriveTask,
    request: DeriveRequest,
    library: Library,
    sources: dict[str, SeriesOnServer],
    progress: Progress,
    spool: Path,
) -> Outcome:
    with one_process():
        series, parent = _build(client, task, request, library, sources, progress, spool)
    answer: dict[str, Any] = {
        "InstancesCount": len(series),
        "ParentSeries": task.series,
        "SeriesInstanceUID": series.series_instance_uid,
        "Warnings": [cut(str(warning)) for warning in series.warnings],
    }
    if request.dry_run:
        return Outcome(result={"DryRun": True, **answer, **told(series, parent, with_picture=request.preview)})
    if series.series_instance_uid != series_uid(task):
        raise UserCodeError(
            "the pipeline returned a series with a SeriesInstanceUID of its own",
            remedy="build it from input_container.header",
        )
    check_parents(client, task)
    orthanc_id = _store(client, series, progress, task)
    parents = {name: (source.orthanc_id, source.series_instance_uid) for name, source in sources.items()}
    record_provenance(client, orthanc_id, task, series, parents, _code(request, library))
    check_parents(client, task)  # all that is stored was there when they were, or goes again
    answer["Warnings"] += remove_former(client, task)
    result = {"Type": "Series", "ID": orthanc_id, "Path": f"/series/{orthanc_id}", **answer}
    result["Seconds"] = progress.seconds()
    if request.destinations:
        result["Destinations"] = dict.fromkeys(request.destinations, HELD if request.hold_until_accepted else PENDING)
    return send_on(client, result, progress)


def _sources(client: Client, task: DeriveTask, request: DeriveRequest, library: Library) -> dict[str, SeriesOnServer]:
    """The series that the job reads, by input name; that of the URL first."""
    parent_name = "parent"
    if request.pipeline is not None:
        parent_name = library.pipeline(request.pipeline).pipeline.parent_name()
    if parent_name in request.inputs:
        raise Conflict(
            f"the input {parent_name!r} of pipeline {request.pipeline!r} is the series of the URL",
            remedy="leave it out of Inputs",
        )
    found = {parent_name: describe_series(client, task.series)}
    for name, orthanc_id in request.inputs.items():
        found[name] = describe_series(client, orthanc_id)
    return found


def _code(request: DeriveRequest, library: Library) -> dict[str, str]:
    """The file that was run or applied."""
    named = library.pipeline(request.pipeline) if request.pipeline else library.blueprint(request.blueprint or "")
    return {"Name": named.name, "File": named.file.name, "Sha256": named.sha256}


def _build(
    client: Client,
    task: DeriveTask,
    request: DeriveRequest,
    library: Library,
    sources: dict[str, SeriesOnServer],
    progress: Progress,
    spool: Path,
) -> tuple[Series, ParentSeries]:
    options = options_of(task, request)
    selection = Selection(request.orientation, request.part)
    context = BuildContext(task.now, task.job_id, reserved_series_number=task.series_number)
    if request.pipeline is None:
        (found,) = sources.values()
        parent = _fetch(client, found, progress, spool if task.image_route is None else None, selection)
        progress.tell("Building")
        with _image(client, task) as image:
            series = run_blueprint(
                library, request.blueprint or "", request.factory or "", parent, image, options, context
            )
        return series, parent
    chosen = {next(iter(sources)): selection}  # of the series of the URL
    parents = {name: _fetch(client, source, progress, spool, chosen.get(name, ALL)) for name, source in sources.items()}
    progress.tell("Processing")
    series = run_pipeline(library, request.pipeline, parents, request.parameters, options, context)
    return series, next(iter(parents.values()))


def _fetch(
    client: Client, series: SeriesOnServer, progress: Progress, spool: Path | None, selection: Selection
) -> ParentSeries:
    """:param spool: a folder for the files of a large series; None when its pixels are not needed."""
    parts = fetch_series(client, series.study_instance_uid, series.series_instance_uid, expected=series.instances)
    counted = progress.counted("Fetching", parts, series.instances)
    if spool is None:
        return ParentSeries.from_bytes(counted, selection, pixels=False)
    first = next(counted, b"")
    whole = chain([first] if first else [], counted)
    if len(first) * series.instances <= _HELD_IN_MEMORY:
        return ParentSeries.from_bytes(whole, selection)
    return ParentSeries.from_files(_spooled(whole, Path(tempfile.mkdtemp(dir=spool))), selection)


def _spooled(parts: Iterable[bytes], folder: Path) -> Iterator[Path]:
    for index, part in enumerate(parts):
        path = folder / f"{index:06d}.dcm"
        path.write_bytes(part)
        yield path


@contextmanager
def _image(client: Client, task: DeriveTask) -> Iterator[Path | None]:
    """The uploaded image as a file."""
    path = None if task.image_path is None else Path(task.image_path)
    if path is None or path.exists():
        _check_size(path, task.image_limit)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="derived-series-") as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(client.get_bytes(task.image_route or ""))
        _check_size(copy, task.image_limit)
        yield copy


def _check_size(path: Path | None, limit: int) -> None:
    """Other files are no larger than they are; a small compressed NIfTI file may unfold to any size."""
    if path is None or path.suffix in (".npy", ".pdf"):
        return
    size = announced_size(path)
    if size > limit:
        raise InvalidImage(
            f"the image's header announces {size} bytes, over the limit of {limit}",
            remedy="raise MaxImageMB in the configuration",
        )


def _store(client: Client, series: Series, progress: Progress, task: DeriveTask) -> str:
    """Send the series and verify it; its Orthanc identifier."""
    progress.tell("Storing")
    uids = [series.instance_uid(index) for index in range(len(series))]
    if (complete := _stored_already(client, series, uids, task)) is not None:
        return complete
    remove_series(client, series.series_instance_uid)
    samples: list[Sample] = []
    compared = {0, len(uids) // 2, len(uids) - 1}

    def encoded() -> Iterator[Part10]:
        for index, uid in enumerate(uids):
            data = series.buffer(index)
            if index in compared:
                samples.append(Sample(uid, data))
            yield Part10(uid, data)

    store(
        client,
        series.study_instance_uid,
        encoded(),
        cut=Cut(connections=task.connections),
        stored=lambda count: progress.tell("Storing", count, len(uids)),
    )
    if not task.thorough:
        return verify(client, series.series_instance_uid, uids, samples)
    try:
        return verify(client, series.series_instance_uid, uids, _all(series, uids))
    except StorageError as error:  # something of a former attempt has come in between
        raise StorageError(error.message, remedy=error.remedy, details=error.details, transient=True) from error


def _stored_already(client: Client, series: Series, uids: Sequence[str], task: DeriveTask) -> str | None:
    """The series, where an earlier attempt stored all of it and was ended before it could tell."""
    for orthanc_id in find_series(client, series.series_instance_uid):
        if set(instances_held(client, orthanc_id)) == set(uids):
            try:
                return verify(client, series.series_instance_uid, uids, _all(series, uids) if task.thorough else ())
            except StorageError:
                return None
    return None


def _all(series: Series, uids: Sequence[str]) -> Iterator[Sample]:
    return (Sample(uid, series.buffer(index)) for index, uid in enumerate(uids))
