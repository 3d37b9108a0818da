"""Database: the interface through which the tables of jobs are read and written, for SQLite and PostgreSQL.

It takes SQL that both share: ``?`` for values, ``ON CONFLICT`` instead of ``OR REPLACE``, no JSON functions, and whole
numbers for booleans.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias


class Rows(Protocol):
    """The result of a statement. ``rowcount``: the number of rows that it changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Transaction(Protocol):
    """A transaction: all of its statements take effect, or none."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Rows: ...

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> object: ...


#: Writes data that belongs to a job, in the transaction that writes the job.
Note: TypeAlias = Callable[[Transaction], object]


def together(*notes: Note) -> Note:
    """Combine several notes into one that writes them in order."""

    def write(db: Transaction) -> None:
        for note in notes:
            note(db)

    return write


class Database(ABC):
    """The tables of jobs and their data. Safe for threads."""

    @abstractmethod
    def transaction(self, *, leading: bool = False, before: Note | None = None) -> AbstractContextManager[Transaction]:
        """Begin a transaction that writes; there is one writer at a time among all users of the tables.

        :param leading: whether only the Orthanc that leads may write it.
        :param before: writes data that nobody reads yet and that may take long, without keeping other writers out.
        :raises Busy: it cannot be written now; nothing was changed.
        :raises Conflict: there is already a row with this key; nothing was changed.
        :raises DerivedSeriesError: a value can never be stored; nothing was changed.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that reads. :raises Busy: it cannot be read now."""

    def jotting(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that writes data that may be lost, at the same time as other writers."""
        return self.transaction()

    @abstractmethod
    def try_to_write(self) -> None:
        """Test writing, without an effect. :raises Busy: the disk is full, or the server is away."""

    @property
    @abstractmethod
    def version(self) -> int:
        """The version of the tables' contents: below ``schema.VERSION`` they need an update; 0: they are new."""

    @abstractmethod
    def set_version(self) -> None:
        """Record that the contents have ``schema.VERSION``."""

    @abstractmethod
    def close(self) -> None: ...
