"""What a PostgreSQL that several Orthancs share tells of itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

from derived_series.errors import InvalidRequest
from derived_series.installation.finding import Finding, error, warning
from derived_series.jobs.queue.schema import VERSION

_SECONDS = 5
_CLOCK_SECONDS = 5.0
_OLDEST = 140000

#: Whether the tables, where there are some, are those of the user who asks.
_IS_OURS = """
    SELECT NOT EXISTS (
        SELECT 1 FROM pg_namespace s LEFT JOIN pg_class t ON t.relnamespace = s.oid AND t.relkind = 'r'
        WHERE s.nspname = 'derived_series' AND (
            NOT has_schema_privilege(s.oid, 'USAGE') OR NOT has_schema_privilege(s.oid, 'CREATE')
            OR (t.oid IS NOT NULL AND NOT pg_has_role(t.relowner, 'USAGE'))
        )
    )
"""


def check_database(address: str) -> Iterator[Finding]:
    """All that is wrong. :param address: JobsDatabase of the configuration, which is never shown."""
    try:
        import psycopg
    except ImportError:
        yield error(
            "database",
            "JobsDatabase names PostgreSQL, and psycopg is not installed",
            "pip install 'derived-series-orthanc[postgresql]'",
        )
        return
    from derived_series.jobs.queue.postgresql_address import check_address

    try:
        check_address(address)
    except InvalidRequest as problem:
        yield error("database", problem.message, problem.remedy or "")
        return
    try:
        with psycopg.connect(address, connect_timeout=_SECONDS, autocommit=True) as connection:
            began = time.time()
            ((now,),) = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchall()
            ahead = float(now) - (began + time.time()) / 2
            release = connection.info.server_version
            ((may_create,),) = connection.execute(
                "SELECT has_database_privilege(current_database(), 'CREATE') OR to_regnamespace('derived_series') "
                "IS NOT NULL"
            ).fetchall()
            ((is_standby,),) = connection.execute("SELECT pg_is_in_recovery()").fetchall()
            ((is_ours,),) = connection.execute(_IS_OURS).fetchall()
            is_there = is_ours and connection.execute("SELECT to_regclass('derived_series.versions')").fetchall()[0][0]
            rows = connection.execute("SELECT version FROM derived_series.versions").fetchall() if is_there else []
    except psycopg.Error as problem:
        words = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        yield error(
            "database",
            f"the database of the jobs does not answer: {words}",
            "start it, and see that pg_hba.conf lets this machine and the user of JobsDatabase in",
        )
        return
    if release < _OLDEST:
        yield error("database", f"the database of the jobs is PostgreSQL {release // 10000}", "use 14 or later")
    if not may_create:
        yield error(
            "database",
            "the user of JobsDatabase may not make the schema derived_series",
            "GRANT CREATE ON DATABASE to that user",
        )
    if not is_ours:
        yield error(
            "database",
            "the schema derived_series, or a table of it, belongs to another user than that of JobsDatabase",
            "let that user own it (ALTER SCHEMA and ALTER TABLE ... OWNER TO), or name the user who made it",
        )
    if is_standby:
        yield error(
            "database",
            "the database of the jobs is a standby, which takes nothing that is written",
            "name all its servers: postgresql://user@one,two/database?target_session_attrs=read-write",
        )
    if rows and rows[0][0] > VERSION:
        yield error(
            "database",
            f"the database of the jobs is of a newer version of the plugin ({rows[0][0]}; this one knows {VERSION})",
            "install that version on all Orthancs, or name another database",
        )
    if abs(ahead) > _CLOCK_SECONDS:
        yield warning(
            "database",
            f"the clock of the database's machine is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}",
            "have all machines follow a time server: jobs wait, and are dated, by the clock of the Orthanc that leads",
        )
