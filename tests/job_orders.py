"""Requests jobs from several threads while everything breaks."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Orders:
    """The requested jobs by number: every request has its own, even if it got no answer."""

    parents: dict[int, int] = field(default_factory=dict)
    answered: dict[int, str] = field(default_factory=dict)
    unanswered: set[int] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    sent: dict[str, str | None] = field(default_factory=dict)  # series for the rule: None: not all of it has arrived
    at_once: dict[str, int] = field(default_factory=dict)  # the instances of those whose arrival nothing has delayed
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, parent: int) -> int:
        with self.lock:
            number = len(self.parents) + 1
            self.parents[number] = parent
            return number


class Senders(ABC):
    """Threads that request jobs at random moments, whatever happens to the servers, up to a number of accepted ones.

    :param pause: the least and the most seconds between two requests of a thread.
    """

    def __init__(self, orders: Orders, *, threads: int, pause: tuple[float, float], seed: int):
        self.orders = orders
        self.allowed = 0
        self._pause = pause
        self._over = threading.Event()
        chances = [random.Random(f"{seed} {number}") for number in range(threads)]
        self._threads = [threading.Thread(target=self._work, args=(chance,)) for chance in chances]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, chance: random.Random) -> None:
        while not self._over.is_set():
            if len(self.orders.answered) < self.allowed:
                self.send(chance)
            self._over.wait(chance.uniform(*self._pause))

    @abstractmethod
    def send(self, chance: random.Random) -> None:
        """Request one job."""
