"""Prometheus' text format: families of samples with labels, and histograms.

https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4)
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Names and values of labels, in their order.
Labels: TypeAlias = tuple[tuple[str, str], ...]

_ESCAPES = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value. :param suffix: follows the family's name, such as ``_bucket``."""

    value: float
    labels: Labels = ()
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of a name. :param help: one line that describes it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: tuple[Sample, ...]


def gauge(name: str, help: str, value: float) -> Family:
    """A family with one value, which goes up and down."""
    return Family(name, "gauge", help, (Sample(value),))


def by_label(
    kind: Literal["counter", "gauge"], name: str, help: str, label: str, values: Mapping[str, float]
) -> Family:
    """A family with a value for each value of one label."""
    return Family(name, kind, help, tuple(Sample(value, ((label, each),)) for each, value in values.items()))


def exposition(families: Iterable[Family]) -> str:
    """The page of all families."""
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        labels = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in sample.labels)
        yield f"{family.name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {_number(sample.value)}"


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)


class Histogram:
    """Counts observed values by labels. Thread-safe.

    :param names: of its labels. :param bounds: the upper bounds of its buckets, ascending, without infinity.
    """

    def __init__(self, name: str, help: str, names: tuple[str, ...], bounds: tuple[float, ...]):
        self._name = name
        self._help = help
        self._names = names
        self._bounds = (*bounds, math.inf)
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count a value. :param labels: their values, in the order of the names."""
        with self._lock:
            counts = self._counts.setdefault(labels, [0] * len(self._bounds))
            counts[next(index for index, bound in enumerate(self._bounds) if value <= bound)] += 1
            self._sums[labels] = self._sums.get(labels, 0.0) + value

    def family(self) -> Family:
        """The samples: each bucket counts all values up to its bound."""
        with self._lock:
            counts = {labels: list(each) for labels, each in self._counts.items()}
            sums = dict(self._sums)
        samples: list[Sample] = []
        for values, each in sorted(counts.items()):
            labels = tuple(zip(self._names, values, strict=True))
            for index, bound in enumerate(self._bounds):
                samples.append(Sample(sum(each[: index + 1]), (*labels, ("le", _number(bound))), "_bucket"))
            samples.append(Sample(sums[values], labels, "_sum"))
            samples.append(Sample(sum(each), labels, "_count"))
        return Family(self._name, "histogram", self._help, tuple(samples))
