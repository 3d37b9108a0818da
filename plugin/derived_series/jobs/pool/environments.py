"""Environments: separate Pythons for pipelines that cannot run in Orthanc's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from derived_series.errors import UserCodeError
from derived_series.jobs.pool.claims import Claims
from derived_series.jobs.pool.executor import Keeping, ProcessExecutor
from derived_series.jobs.pool.launch import Interpreter
from derived_series.jobs.pool.placed import PlacedExecutor

#: Seconds without a task after which a process ends that only describes pipelines.
_DESCRIBING_SECONDS = 60.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """The configuration of an environment on this machine.

    :param python: its interpreter. :param workers: the number of processes, and so of its jobs at once.
    :param idle: seconds without a job after which a process ends, with everything that its pipelines have prepared.
    :param resources: the units of each resource that each of its processes claims.
    """

    python: Path
    workers: int = 1
    idle: float = 600.0
    resources: Mapping[str, int] = field(default_factory=dict)


class AnyEnvironment(Protocol):
    """The interface of an environment, on this machine or others."""

    @property
    def executor(self) -> PlacedExecutor:
        """The executor that runs attempts at its jobs."""

    def start(self) -> None:
        """Begin; called when Orthanc has started."""

    def listen(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called when other workers run its jobs than before."""

    def describe(self, describe: Callable[[tuple[str, ...]], T], folders: tuple[str, ...], /) -> Future[T]:
        """Describe the blueprint folders in the environment's Python."""

    def until_described(self) -> Future[Any] | None:
        """The answer to use while ``describe`` has none; None to wait for it, which takes a bounded time."""

    def fit(self, fit: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T] | None:
        """Find which pipelines take a series; None if only a job can find out."""

    def elsewhere(self) -> tuple[int, int]:
        """The number of workers on other machines that could take its jobs, and how many there should be."""

    def status(self) -> dict[str, Any]:
        """Its entry in the status."""

    def shutdown(self) -> None:
        """End everything that runs in it."""


class Environment:
    """An environment on this machine, whose processes start when there is work.

    :param warm_up: called in each new process, with ``initargs``.
    """

    def __init__(self, name: str, place: Place, claims: Claims, warm_up: Callable[..., None], *initargs: Any):
        self.name = name
        self.place = place
        interpreter = Interpreter(place.python, None, name)
        none_of_all = dict.fromkeys(claims.total, 0)  # so that unclaimed units are hidden
        keeping = Keeping(False, place.idle, {**none_of_all, **place.resources})
        self._executor = ProcessExecutor(
            place.workers,
            initializer=warm_up,
            initargs=initargs,
            interpreter=interpreter,
            keeping=keeping,
            claims=claims,
        )
        self._describing = ProcessExecutor(
            1,
            initializer=warm_up,
            initargs=initargs,
            interpreter=interpreter,
            keeping=Keeping(False, _DESCRIBING_SECONDS, none_of_all),
            claims=claims,
        )

    @property
    def executor(self) -> ProcessExecutor:
        return self._executor

    def start(self) -> None:
        """Do nothing: its processes start when there is work."""

    def listen(self, changed: Callable[[], None]) -> None:
        """Do nothing: its workers never change."""

    def describe(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function that only inspects the environment's pipelines, beside its jobs."""
        return self._describing.submit(fn, *args, **kwargs)

    def until_described(self) -> None:
        """Return None: its description begins at once."""

    def fit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function likewise; see ``describe``."""
        return self.describe(fn, *args, **kwargs)

    def elsewhere(self) -> tuple[int, int]:
        return 0, 0

    def status(self) -> dict[str, Any]:
        return {
            "Python": str(self.place.python),
            "Workers": self.place.workers,
            "IdleSeconds": self.place.idle,
            "Resources": dict(self.place.resources),
            "Processes": self.executor.processes(),
        }

    def shutdown(self) -> None:
        self._describing.shutdown()
        self.executor.shutdown()


class Environments(Mapping[str, AnyEnvironment]):
    """All environments by name, and the assignment of pipelines to them.

    :param environments: the configured environments, which may be empty; None if no pipeline uses one.
    """

    def __init__(self, environments: Mapping[str, AnyEnvironment] | None = None):
        self._environments = dict(environments or {})
        self._lock = threading.Lock()
        self._pipelines: dict[str, str] = {}
        self._is_known = environments is None  # otherwise a pipeline may name one that is not configured

    def __getitem__(self, name: str) -> AnyEnvironment:
        return self._environments[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environments)

    def __len__(self) -> int:
        return len(self._environments)

    @property
    def is_known(self) -> bool:
        """Whether it is known which pipelines run where; until then no pipeline's job begins."""
        return self._is_known

    def assign(self, pipelines: Mapping[str, str]) -> None:
        """Assign pipelines to environments. :param pipelines: the environment's name by the pipeline's."""
        with self._lock:
            self._pipelines = dict(pipelines)
            self._is_known = True

    @property
    def pipelines(self) -> Mapping[str, str]:
        """The environment's name by the pipeline's."""
        with self._lock:
            return self._pipelines

    def name_of(self, pipeline: str | None) -> str | None:
        """The name of a pipeline's environment; None for Orthanc's own Python."""
        return self.pipelines.get(pipeline or "")

    def executor_of(self, pipeline: str | None) -> PlacedExecutor | None:
        """The executor of a pipeline's jobs; None for Orthanc's own Python.

        :raises UserCodeError: its environment is not configured.
        """
        name = self.name_of(pipeline)
        if name is None:
            return None
        if name not in self._environments:
            raise UserCodeError(
                f"the environment {name!r} of pipeline {pipeline!r} is not in the configuration",
                remedy=f"add it to Environments; there are: {', '.join(self._environments) or 'none'}",
            )
        return self._environments[name].executor

    def ready(self) -> list[str]:
        """The pipelines with an environment in which a job could begin now."""
        places = {name: environment.executor.has_place for name, environment in self._environments.items()}
        return [pipeline for pipeline, name in self.pipelines.items() if places.get(name)]

    def lack(self, pipeline: str | None) -> str | None:
        """What the jobs of a pipeline wait for, other than for running jobs; None if nothing."""
        environment = self._environments.get(self.name_of(pipeline) or "")
        return None if environment is None else environment.executor.lack

    def elsewhere(self) -> tuple[int, int]:
        """The number of workers on other machines that could take jobs, and how many there should be, in total."""
        counts = [environment.elsewhere() for environment in self._environments.values()]
        return sum(fitting for fitting, _ in counts), sum(wanted for _, wanted in counts)

    def start(self) -> None:
        for environment in self._environments.values():
            environment.start()

    def shutdown(self) -> None:
        for environment in self._environments.values():
            environment.shutdown()
