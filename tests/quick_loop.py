"""Chooses the cases of a matrix that `make test-quick` runs: always the same sample."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pytest


def left_out(quick: int, cases: Sequence[str]) -> set[str]:
    """The cases of one test that the quick loop leaves out: all but ``quick`` of them, chosen by their names."""
    ordered = sorted(cases)
    kept = random.Random(ordered[0]).sample(ordered, min(quick, len(ordered)))
    return set(ordered) - set(kept)


def mark_left_out(items: Iterable[pytest.Item]) -> None:
    """Mark as slow what the quick loop leaves out of tests with the mark ``wide(quick=...)``."""
    cases: Mapping[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("wide"):
            cases[item.nodeid.partition("[")[0]].append(item)
    for test in cases.values():
        marker = test[0].get_closest_marker("wide")
        assert marker is not None
        names = left_out(int(marker.kwargs["quick"]), [item.nodeid for item in test])
        for item in test:
            if item.nodeid in names:
                item.add_marker("slow")
