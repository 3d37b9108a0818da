"""Compares the results of runs, one at a time, in a worker."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

from derived_series.dicomweb.client import Connection
from derived_series.jobs.bulk.agreement import NOTHING, agree
from derived_series.jobs.bulk.bulk_run import Member
from derived_series.jobs.requests.bulk import AgreementLimits
from derived_series.jobs.work.entry import compare
from derived_series.orthanc.bulk_finder import FIRST_OUTPUT

_log = logging.getLogger(__name__)

#: The most workers that may end, and times that Orthanc may not answer, before a comparison is given up.
_ATTEMPTS = 3

#: Seconds after which an attempt is ended, as all other comparisons wait for it.
_MOST_SECONDS = 3600.0


class Comparisons:
    """Compares the new series of a member with the old ones.

    :param wake: called when a comparison is done.
    """

    def __init__(self, executor: Executor, connection: Connection, scratch: str, wake: Callable[[], None]):
        self._executor = executor
        self._connection = connection
        self._scratch = scratch
        self._wake = wake
        self._running: tuple[str, Member, AgreementLimits, Future[dict[str, Any]]] | None = None
        self._attempts = 0
        self._began = 0.0

    def is_of(self, run: str) -> bool:
        """Whether the running comparison belongs to a run."""
        return self._running is not None and self._running[0] == run

    @property
    def is_free(self) -> bool:
        return self._running is None

    def begin(self, run: str, member: Member, limits: AgreementLimits) -> None:
        """Begin the comparison of a member; ``take`` returns it when it is done."""
        future = self._executor.submit(compare, self._connection, pairs_of(member), self._scratch)
        self._running, self._began = (run, member, limits, future), time.monotonic()
        future.add_done_callback(lambda _: self._wake())

    def take(self) -> tuple[str, Member] | None:
        """The run and the member of a finished comparison, with its figures."""
        if self._running is None:
            return None
        run, member, limits, future = self._running
        if not future.done():
            if time.monotonic() - self._began < _MOST_SECONDS:
                return None
            future.cancel()  # its worker is ended
        self._running = None
        try:
            comparison = future.result(0)
        except (Exception, CancelledError) as error:  # the boundary of each comparison: other runs go on
            self._attempts += 1
            _log.warning("run %s, member %d could not be compared: %s", run, member.number, type(error).__name__)
            if self._attempts < _ATTEMPTS:
                return None  # it is tried again
            problem = {"Kind": NOTHING, "Problem": f"the comparison could not be made ({type(error).__name__})"}
            comparison = dict.fromkeys(member.reference, problem)
        self._attempts = 0
        comparison |= {
            output: {"Kind": NOTHING, "Problem": "the new result has no such output"}
            for output in member.reference
            if output not in comparison
        }
        return run, dataclasses.replace(member, comparison=comparison, agrees=agree(comparison, limits))


def pairs_of(member: Member) -> list[tuple[str, str, str]]:
    """The pairs to compare: output, former and new series."""
    pairs = []
    for output, former in member.reference.items():
        new = member.derived.get(output)
        if new is None and output == FIRST_OUTPUT:
            new = next(iter(member.derived.values()), None)
        if new is not None:
            pairs.append((output, former, new))
    return pairs
