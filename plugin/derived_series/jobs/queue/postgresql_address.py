"""Checking the address of a PostgreSQL before using it, because libpq's errors about a wrong one quote its password."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict

from derived_series.errors import InvalidRequest


def check_address(address: str) -> None:
    """Check that libpq reads an address as it is meant.

    :param address: ``postgresql://user:password@host/database``.
    :raises InvalidRequest: it does not; the message quotes nothing of the address.
    """
    try:
        parts = conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        raise _unreadable() from None  # its text quotes the password, or the whole address
    host, port, name = (str(parts.get(key) or "") for key in ("host", "port", "dbname"))
    # "/" in a password ends the host for libpq, and of two "@" it takes the first one.
    if "@" in host + name or not all(each.isdecimal() for each in port.split(",") if each):
        raise _unreadable()


def _unreadable() -> InvalidRequest:
    return InvalidRequest(
        "JobsDatabase: it is not an address that PostgreSQL's library can read (it is not quoted here, for its "
        "password)",
        remedy="write postgresql://user:password@host:port/database?parameter=value, with what is special in an "
        "address percent-encoded in user and password (@ is %40, / is %2F, : is %3A, % is %25, # is %23, ? is %3F); "
        "or leave the password out, and give Orthanc's process PGPASSWORD or a ~/.pgpass",
    )
