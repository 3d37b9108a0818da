"""Where jobs are kept: what the tables are written and read through, whichever database is behind it.

SQL is that which SQLite and PostgreSQL share: ``?`` for values, ``ON CONFLICT`` and no ``OR REPLACE``, no JSON
functions, whole numbers for what is true or false.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias


class Rows(Protocol):
    """What a statement answers. ``rowcount``: how many rows it has changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Transaction(Protocol):
    """Statements that are all done or none."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Rows: ...

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> object: ...


#: Writes what belongs to a job in the transaction that the job itself is written in.
Note: TypeAlias = Callable[[Transaction], object]


def together(*notes: Note) -> Note:
    """Several notes as one, written in their order."""

    def write(db: Transaction) -> None:
        for note in notes:
            note(db)

    return write


class Database(ABC):
    """Tables of jobs and of what belongs to them. Safe for threads."""

    @abstractmethod
    def transaction(self, *, leading: bool = False, before: Note | None = None) -> AbstractContextManager[Transaction]:
        """Write: one writer at a time, of all that use the tables.

        :param leading: only as the Orthanc that leads.
        :param before: writes what nobody else looks at yet, and may take long: other writers are not kept out for it.
        :raises Busy: it cannot be written now; nothing was changed.
        :raises Conflict: a row with this key is there already; nothing was changed.
        :raises DerivedSeriesError: a value that it can never take; nothing was changed.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[Transaction]:
        """Read. :raises Busy: it cannot be read now."""

    def jotting(self) -> AbstractContextManager[Transaction]:
        """Write what may be lost, beside other writers."""
        return self.transaction()

    @abstractmethod
    def try_to_write(self) -> None:
        """Write a little, which changes nothing. :raises Busy: the disk does not take it, or the server is away."""

    @property
    @abstractmethod
    def version(self) -> int:
        """Of what the tables hold: below ``schema.VERSION``, it is still to be brought up to it; 0: they are new."""

    @abstractmethod
    def set_version(self) -> None:
        """What the tables hold is of ``schema.VERSION`` now."""

    @abstractmethod
    def close(self) -> None: ...
