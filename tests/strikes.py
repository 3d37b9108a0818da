"""Random failures in a hospital: each of its parts is killed, frozen and cut off about equally often."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import product

from hospital import BOXES, HOSTS, Hospital

WAYS = ("killed", "frozen", "cut off")

#: Seconds of strikes: most are short; in a longer one another Orthanc leads, and workers are given up.
_SHORT, _LONG = (0.1, 2.0), (6.0, 12.0)
_LONG_ONES = 0.2
_DOWN_SECONDS = (0.0, 0.5, 3.0)


def deck(chance: random.Random) -> Iterator[tuple[str, str]]:
    """Hosts and ways, shuffled, so that each combination comes before one is repeated."""
    while True:
        cards = list(product(HOSTS, WAYS))
        chance.shuffle(cards)
        yield from cards


def strike(hospital: Hospital, host: str, way: str, chance: random.Random) -> None:
    """Break one thing for a moment, then repair it."""
    pause = chance.uniform(*(_LONG if chance.random() < _LONG_ONES else _SHORT))
    if way == "killed":
        pause = chance.choice(_DOWN_SECONDS)
    with _broken(hospital, host, way, whole=host not in BOXES or chance.random() < 0.5):
        time.sleep(pause)


def _broken(hospital: Hospital, host: str, way: str, *, whole: bool) -> AbstractContextManager[None]:
    if way == "killed":
        return hospital.killed(host)
    if way == "frozen":
        return hospital.frozen(host, whole=whole)
    return hospital.cut_off(host)
