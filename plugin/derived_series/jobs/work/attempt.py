"""Attempt: an attempt at a job in a worker process, which always ends with an outcome."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicomweb.client import Client
from derived_series.dicomweb.readback import remove_series
from derived_series.errors import Conflict, DerivedSeriesError, NotFound, UserCodeError
from derived_series.identifiers import series_uids_of
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.own_requests import marked
from derived_series.jobs.plain import LONGEST_CHARACTERS, text_of
from derived_series.jobs.pool.memory import memory_bound
from derived_series.jobs.scratch import without_scratch
from derived_series.jobs.work.log_lines import output_of, timed
from derived_series.jobs.work.progress import NotWanted, Progress
from derived_series.jobs.work.reporter import Reporter
from derived_series.user_code import described

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A running attempt at a job.

    :param task: the task from the server.
    :param client: sends requests to the server.
    :param progress: reports the progress of the attempt to the server.
    :param reporter: reports what user code prints and logs.
    """

    task: DeriveTask
    client: Client
    progress: Progress
    reporter: Reporter

    @property
    def series_uids(self) -> tuple[str, ...]:
        """The SeriesInstanceUIDs of the job's series, output after output, the same in every attempt."""
        return series_uids_of(self.task.job_id)

    @property
    def context(self) -> BuildContext:
        """The build context, which is the same in every attempt: time, UIDs, SeriesNumber."""
        return BuildContext(self.task.now, self.task.job_id, reserved_series_number=self.task.series_number)

    def check_parents(self, inputs: Mapping[str, str] | None = None) -> None:
        """Require that the series that the job reads still exist: a result must not bring back a deleted study.

        :param inputs: the Orthanc identifiers of the inputs other than the parent, by name; by default the request's.
        :raises Conflict: one was deleted; the error names it.
        """
        for what, series in self._parents(inputs):
            try:
                self.client.get_json(f"/series/{series}")
            except NotFound as error:
                raise Conflict(
                    f"{what} was deleted: there is no series {series} in Orthanc any more",
                    remedy="nothing was stored; send the series again and derive from it",
                ) from error

    def _parents(self, inputs: Mapping[str, str] | None) -> list[tuple[str, str]]:
        request = self.task.request
        others = request.get("Inputs", {}) if inputs is None else inputs
        named = [(f"the input {name!r}", series) for name, series in others.items()]
        return [("the series" if "Verdict" in request else "the parent", self.task.series), *named]


def make_attempt(task: DeriveTask, work: Callable[[Attempt], Outcome]) -> Outcome:
    """Make an attempt. If it fails, nothing is left of its series, or the outcome says that something is.

    :param work: does the work; its errors become the outcome.
    """
    with Client(task.connection) as client:
        reporter = Reporter(task.connection, task.progress_route, task.attempt)
        progress = Progress(client, task.progress_route, task.job_id, task.attempt)
        attempt = Attempt(task, client, progress, reporter)
        try:
            with (
                contextlib.closing(reporter),
                output_of(task.job_id, reporter.line),
                marked(task.job_id, task.connection.base_url),
            ):
                return _reported(attempt, work)
        except NotWanted as error:
            # Another attempt may be storing the same instances, so leave the removal to the server.
            return Outcome(error=Conflict(str(error)), clean=False)
        except DerivedSeriesError as error:
            failure = error
        except MemoryError:
            failure = UserCodeError(
                "the derivation needs more memory than a worker may have",
                remedy="raise WorkerMemoryMB in the configuration, or MemoryMB of the pipeline or of its environment",
            )
        except Exception as error:  # the one boundary of a worker process
            failure = DerivedSeriesError(f"internal error: {described(error)}")
            failure.__cause__ = error
        return _failed(attempt, _deletion(attempt) or failure)


def _reported(attempt: Attempt, work: Callable[[Attempt], Outcome]) -> Outcome:
    """Do the work; if the pipeline's code raises, write the traceback to the job's log, with memory to do so."""
    try:
        with memory_bound(attempt.task.memory_limit):
            return work(attempt)
    except UserCodeError as error:
        raised = error.__cause__
        if raised is not None and not isinstance(raised, DerivedSeriesError):
            for line in without_scratch(text_of(_trace(raised)), attempt.task.job_id).splitlines():
                attempt.reporter.line(timed(line))
        raise


def _failed(attempt: Attempt, failure: DerivedSeriesError) -> Outcome:
    if failure.http_status == 500:  # an error of code, not of the request: log where
        failure.add_note(_trace(failure))
    _make_plain(failure, attempt.task.job_id)
    if (result := attempt.task.result or attempt.progress.result) is not None:  # the series are stored, and stay
        return Outcome(result=result, error=failure)
    return Outcome(error=failure, clean=_is_removed(attempt), sent=attempt.client.has_sent_instances)


def _deletion(attempt: Attempt) -> Conflict | None:
    """The error about a deleted input, for an attempt that failed because of it; None if all exist."""
    try:
        attempt.check_parents()
    except Conflict as conflict:
        return conflict
    except DerivedSeriesError:  # Orthanc does not answer: the attempt's own error says more
        return None
    return None


def _is_removed(attempt: Attempt) -> bool:
    """Remove the attempt's partial series; False if that fails."""
    try:
        attempt.progress.check()
        remove_series(attempt.client, *attempt.series_uids)
    except NotWanted:  # another attempt may have stored them
        return False
    except DerivedSeriesError as error:
        _log.warning("job %s: its partial series could not be removed yet: %s", attempt.task.job_id, error)
        return False
    return True


def _trace(error: BaseException) -> str:
    """The traceback; if it is long, its beginning and end."""
    text = "".join(traceback.format_exception(error))
    return (
        text
        if len(text) <= 2 * LONGEST_CHARACTERS
        else f"{text[:LONGEST_CHARACTERS]}\n...\n{text[-LONGEST_CHARACTERS:]}"
    )


def _make_plain(error: DerivedSeriesError, job_id: str) -> None:
    """Replace anything that user code put into an error of ours by text, so that it can be sent and stored."""
    error.message = without_scratch(text_of(error.message), job_id) or type(error).__name__
    error.remedy, error.details = (
        None if text is None else without_scratch(text_of(text), job_id) for text in (error.remedy, error.details)
    )
