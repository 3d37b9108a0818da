"""VerdictLog: the verdicts of users on derived series, in the jobs database; metadata of the series is only a copy.

Anybody who can write to Orthanc can write metadata, but only the plugin writes here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from derived_series.jobs.plain import json_bytes
from derived_series.jobs.queue.database import Note
from derived_series.jobs.queue.store import JobStore

#: The row that records that verdicts kept only as metadata, by older versions, have been taken over.
_TAKEN_OVER = ""


class VerdictLog:
    """The last verdict on each series, by Orthanc identifier; it stays when the series and its job are gone."""

    def __init__(self, store: JobStore):
        self._store = store

    def of(self, series: str) -> dict[str, Any] | None:
        """The verdict on a series; None if there is none."""
        with self._store.reading() as db:
            row = db.execute("SELECT verdict FROM verdicts WHERE series = ?", [series]).fetchone()
        if row is None:
            return None
        verdict: dict[str, Any] = json.loads(row[0])
        return verdict

    def put(self, series: str, verdict: Mapping[str, Any], along: Note | None = None) -> None:
        """Write a verdict; it is on disk when this returns.

        :param along: called in the same transaction. :raises Busy: the disk refuses it.
        """
        self._put({series: verdict}, along)

    @property
    def is_new(self) -> bool:
        """Whether verdicts have not been taken over from metadata yet."""
        return self.of(_TAKEN_OVER) is None

    def take_over(self, verdicts: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the verdicts that older versions kept as metadata, once."""
        self._put({**verdicts, _TAKEN_OVER: {}})

    def _put(
        self,
        verdicts: Mapping[str, Mapping[str, Any]],
        along: Note | None = None,
    ) -> None:
        rows = [(series, json_bytes(dict(verdict)).decode()) for series, verdict in verdicts.items()]
        with self._store.transaction() as db:
            if along is not None:
                along(db)
            db.executemany(
                "INSERT INTO verdicts (series, verdict) VALUES (?, ?) "
                "ON CONFLICT (series) DO UPDATE SET verdict = excluded.verdict",
                rows,
            )
