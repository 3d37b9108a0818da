"""The environments: Pythons of their own for pipelines that cannot run in Orthanc's."""

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
    """What the configuration says of an environment.

    :param python: its interpreter; :param workers: processes, and so jobs of it at once.
    :param idle: seconds without a job after which a process ends, and with it what its pipelines have prepared.
    :param resources: units of each resource that every one of its processes claims.
    """

    python: Path
    workers: int = 1
    idle: float = 600.0
    resources: Mapping[str, int] = field(default_factory=dict)


class AnyEnvironment(Protocol):
    """An environment, wherever its pipelines run."""

    @property
    def executor(self) -> PlacedExecutor:
        """What runs attempts at its jobs."""

    def start(self) -> None:
        """Orthanc has started."""

    def listen(self, changed: Callable[[], None]) -> None:
        """Have something called when who runs its jobs is not who was there before."""

    def describe(self, describe: Callable[[tuple[str, ...]], T], folders: tuple[str, ...], /) -> Future[T]:
        """What the blueprint folders hold there."""

    def fit(self, fit: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T] | None:
        """Which pipelines take a series; None where only a job finds out."""

    def elsewhere(self) -> tuple[int, int]:
        """The workers on other machines that could take its jobs, and how many there are to be."""

    def status(self) -> dict[str, Any]:
        """As the status tells of it."""

    def shutdown(self) -> None:
        """End all that runs there."""


class Environment:
    """One environment of this machine. Its processes start when there is work for them.

    :param warm_up: is called in each new process, with ``initargs``.
    """

    def __init__(self, name: str, place: Place, claims: Claims, warm_up: Callable[..., None], *initargs: Any):
        self.name = name
        self.place = place
        interpreter = Interpreter(place.python, None, name)
        none_of_all = dict.fromkeys(claims.total, 0)  # what is not claimed is not seen either
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
        """Its processes start when there is work."""

    def listen(self, changed: Callable[[], None]) -> None:
        """They are what they are."""

    def describe(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run what only looks at the environment's pipelines, beside its jobs."""
        return self._describing.submit(fn, *args, **kwargs)

    def fit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See ``describe``."""
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
    """All environments by name, and which pipelines run in which.

    :param environments: those of the configuration, of which there may be none; None, where no pipeline names one.
    """

    def __init__(self, environments: Mapping[str, AnyEnvironment] | None = None):
        self._environments = dict(environments or {})
        self._lock = threading.Lock()
        self._pipelines: dict[str, str] = {}
        self._is_known = environments is None  # a pipeline may name one that is not configured

    def __getitem__(self, name: str) -> AnyEnvironment:
        return self._environments[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environments)

    def __len__(self) -> int:
        return len(self._environments)

    @property
    def is_known(self) -> bool:
        """Whether it is known which pipelines run where; until then no job of a pipeline is begun."""
        return self._is_known

    def assign(self, pipelines: Mapping[str, str]) -> None:
        """Say which pipelines run in an environment: its name by the pipeline's."""
        with self._lock:
            self._pipelines = dict(pipelines)
            self._is_known = True

    @property
    def pipelines(self) -> Mapping[str, str]:
        """The names of environments by those of pipelines."""
        with self._lock:
            return self._pipelines

    def name_of(self, pipeline: str | None) -> str | None:
        """The environment of a pipeline; None for Orthanc's own Python."""
        return self.pipelines.get(pipeline or "")

    def executor_of(self, pipeline: str | None) -> PlacedExecutor | None:
        """Where a pipeline's jobs run; None for Orthanc's own Python.

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
        """The pipelines of environments of which a job could begin now."""
        places = {name: environment.executor.has_place for name, environment in self._environments.items()}
        return [pipeline for pipeline, name in self.pipelines.items() if places.get(name)]

    def lack(self, pipeline: str | None) -> str | None:
        """What the jobs of a pipeline wait for, where that is not for others that run."""
        environment = self._environments.get(self.name_of(pipeline) or "")
        return None if environment is None else environment.executor.lack

    def elsewhere(self) -> tuple[int, int]:
        """The workers on other machines that could take jobs, and how many there are to be, of all environments."""
        counts = [environment.elsewhere() for environment in self._environments.values()]
        return sum(fitting for fitting, _ in counts), sum(wanted for _, wanted in counts)

    def start(self) -> None:
        for environment in self._environments.values():
            environment.start()

    def shutdown(self) -> None:
        for environment in self._environments.values():
            environment.shutdown()
