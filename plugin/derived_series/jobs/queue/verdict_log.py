"""What people have said of derived series: the record, in the database of the jobs. Metadata of the series is its copy.

Anybody who may write to Orthanc can write metadata; here is only what was said to the plugin.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from derived_series.jobs.plain import json_bytes
from derived_series.jobs.queue.database import Note
from derived_series.jobs.queue.store import JobStore

#: The row that says that what was kept as metadata alone, by older versions, has been taken over.
_TAKEN_OVER = ""


class VerdictLog:
    """The last verdict on each series, by its Orthanc identifier. It stays when the series and its job are gone."""

    def __init__(self, store: JobStore):
        self._store = store

    def of(self, series: str) -> dict[str, Any] | None:
        """The verdict on a series."""
        with self._store.reading() as db:
            row = db.execute("SELECT verdict FROM verdicts WHERE series = ?", [series]).fetchone()
        if row is None:
            return None
        verdict: dict[str, Any] = json.loads(row[0])
        return verdict

    def put(self, series: str, verdict: Mapping[str, Any], along: Note | None = None) -> None:
        """Write a verdict; it is on disk when this returns.

        :param along: is called in the same transaction. :raises Busy: the disk does not take it.
        """
        self._put({series: verdict}, along)

    @property
    def is_new(self) -> bool:
        """Whether nothing has been taken over from metadata yet."""
        return self.of(_TAKEN_OVER) is None

    def take_over(self, verdicts: Mapping[str, Mapping[str, Any]]) -> None:
        """Write what older versions kept, once."""
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
