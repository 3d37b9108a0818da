"""The address of a PostgreSQL as hospitals write it: a wrong one is told of without its password."""

from __future__ import annotations

import traceback

import pytest

pytest.importorskip("psycopg")

from derived_series.errors import InvalidRequest
from derived_series.jobs.queue.postgresql_address import check_address
from derived_series.jobs.queue.postgresql_database import PostgresqlDatabase


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://orthanc:pa%SEcret@db/orthanc",
        "postgresql://orthanc:SE/cret@db/orthanc",
        "postgresql://orthanc:1/SEcret@db/orthanc",
        "postgresql://orthanc:SE@cret@db/orthanc",
        "postgresql://orthanc:SEcret@[::1/orthanc",
        "postgresql://orthanc:SEcret@db:x/orthanc",
        "postgresql://orthanc:SEcret@db/orthanc?pool=5",
    ],
)
def test_a_wrong_one_is_refused_at_once_and_nothing_of_it_is_told(address: str) -> None:
    with pytest.raises(InvalidRequest, match="JobsDatabase") as refused:
        PostgresqlDatabase(address, "orthanc-1")
    words = "".join(traceback.format_exception(refused.value)).replace(__file__, "")
    assert "cret" not in words.split("InvalidRequest", 1)[-1] and "%40" in words


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://orthanc:pa%40ss%2F@db/orthanc",
        "postgresql:///orthanc",
        "postgresql://db1:5432,db2:5433/orthanc?target_session_attrs=read-write",
        "postgres://orthanc@[::1]:5432/orthanc?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    ],
)
def test_what_can_be_read_is_taken(address: str) -> None:
    check_address(address)
