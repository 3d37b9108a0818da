"""Work in a thread as a future that can be given up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def threaded(work: Callable[[Future[T]], T], name: str) -> Future[T]:
    """Begin work in a thread of its own.

    Once the future is cancelled nobody waits for the work any more, which can see that and end.

    :param work: called with the future. :param name: the thread's.
    """
    future: Future[T] = Future()  # it stays pending until the work is done, as what runs cannot be cancelled

    def run() -> None:
        with suppress(InvalidStateError):  # it was cancelled
            try:
                future.set_result(work(future))
            except Exception as error:
                future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
