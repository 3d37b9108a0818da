"""Reads in Orthanc's log of changes which series have become stable since the last look."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from derived_series.errors import NotFound
from derived_series.jobs.rules.log import FiringLog, Seen
from derived_series.orthanc.abstract_gateway import Gateway

_PAGE_CHANGES = 1000
_STABLE, _INSTANCE = "StableSeries", "NewInstance"

#: Seconds after StableAge by which Orthanc has noticed that a series is stable.
_MARGIN_SECONDS = 10.0


class ChangeReader:
    """Adds series that became stable to the waiting ones. Used by one thread.

    Orthanc records that a series is stable, but when it stops it forgets which are not stable yet. ``catch_up``
    therefore also takes the series of instances that came shortly before.

    :param stable_age: seconds, of Orthanc's configuration.
    """

    def __init__(self, gateway: Gateway, log: FiringLog, stable_age: float):
        self._gateway = gateway
        self._log = log
        self._age = stable_age + _MARGIN_SECONDS
        self._marks: deque[tuple[float, int]] = deque()  # the time of each position in the log
        self._seen = Seen(0, 0)
        self._reached = 0
        self._filter = False  # whether Orthanc can filter changes by type (from 1.12.5 on, with some databases)

    def _has_types(self) -> bool:
        try:
            capabilities = self._gateway.get("/system").get("Capabilities", {})
        except NotFound:
            return False
        return bool(capabilities.get("HasExtendedChanges"))

    def catch_up(self) -> None:
        """Read the changes since the former process's last look; on the very first start, only those to come."""
        self._filter = self._has_types()
        self._marks.clear()
        last = self._last()
        known = self._log.seen()
        if known is None:
            self._seen = Seen(last, last)
            self._log.see(self._seen, ())
            return
        self._seen = known if known.seen <= last else Seen(0, 0)  # another database: all of it is new
        settled = self._seen.settled
        stable = dict.fromkeys(self._series(settled, instances=True))
        self._seen = Seen(self._reached, settled)
        self._log.see(self._seen, stable)

    def read(self) -> None:
        """Read the changes since the last look."""
        stable = dict.fromkeys(self._series(self._seen.seen, instances=False))
        now = time.monotonic()
        if not self._marks or self._marks[-1][1] != self._reached:
            self._marks.append((now, self._reached))
        settled = self._seen.settled
        while self._marks and self._marks[0][0] < now - self._age:
            settled = self._marks.popleft()[1]
        seen = Seen(self._reached, settled)
        if stable or seen != self._seen:
            self._seen = seen
            self._log.see(seen, stable)

    def _series(self, since: int, *, instances: bool) -> Iterator[str]:
        """The series that became stable since, and with ``instances`` the series of instances that arrived.

        Orthanc is asked once for a series, however many of its instances arrived.
        """
        types = [_STABLE, *([_INSTANCE] if instances else [])]
        of_known_series: set[str] = set()
        for change in self._changes(since, types):
            if change["ChangeType"] == _STABLE:
                yield change["ID"]
            elif instances and change["ChangeType"] == _INSTANCE and change["ID"] not in of_known_series:
                try:
                    series = self._gateway.get(f"/instances/{change['ID']}")["ParentSeries"]
                    yield series
                    of_known_series.update(self._gateway.get(f"/series/{series}")["Instances"])
                except NotFound:  # removed since
                    continue

    def _changes(self, since: int, types: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The changes since the last look.

        :param types: the wanted types; an Orthanc that cannot filter sends the others too.
        """
        self._reached = since
        asked = f"&type={';'.join(types)}" if self._filter else ""
        while True:
            page = self._gateway.get(f"/changes?since={self._reached}&limit={_PAGE_CHANGES}{asked}")
            yield from page["Changes"]
            self._reached = max(self._reached, int(page["Last"]))
            if page["Done"]:
                return

    def _last(self) -> int:
        return int(self._gateway.get("/changes?last")["Last"])
