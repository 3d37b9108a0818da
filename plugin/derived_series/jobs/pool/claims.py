"""Claims on scarce resources such as GPUs: each unit belongs to one worker process at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from derived_series.errors import InvalidRequest

#: Seconds between two checks whether a claim is still wanted, while waiting for it.
_LOOK_SECONDS = 0.5

#: The environment variables that restrict programs to units of a resource, such as ``0,1``.
_VARIABLES = {"GPU": ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")}


class Holder(Protocol):
    """The holder of a claim, a worker process."""

    @property
    def is_idle(self) -> bool:
        """Whether the process could be ended now."""

    def release(self) -> None:
        """Ask the process to end if it is idle, which gives its claim back."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """The units of each resource that belong to a process."""

    units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """The environment variables that show the process only its own units.

        If Orthanc's own environment has such a list, a unit's number is an index into it; see ``Claims``.
        """
        variables = {}
        for resource, numbers in self.units.items():
            for variable in _VARIABLES.get(resource, ()):
                visible = _visible(variable)
                variables[variable] = ",".join(str(n) if visible is None else visible[n] for n in numbers)
            variables[f"DERIVED_SERIES_{resource.upper()}"] = ",".join(map(str, numbers))
        return variables


def _visible(variable: str) -> list[str] | None:
    """The devices that an environment variable shows, which may be none; None if it is not set."""
    devices = os.environ.get(variable)
    if devices is None:
        return None
    named = [each.strip() for each in devices.split(",") if each.strip()]
    return named[: named.index("-1")] if "-1" in named else named  # no device from there on


class Claims:
    """Keeps track of who has which unit.

    :param total: the number of units of each resource.
    :raises InvalidRequest: there are more than Orthanc's own environment shows, so that two would be the same.
    """

    def __init__(self, total: Mapping[str, int]):
        for resource, count in total.items():
            for variable in _VARIABLES.get(resource, ()):
                if (visible := _visible(variable)) is not None and count > len(set(visible)):
                    raise InvalidRequest(
                        f"{count} units of the resource {resource} are configured, and the environment variable "
                        f"{variable}={os.environ[variable]} of Orthanc shows {len(set(visible))}",
                        remedy=f"set Resources and those of Environments to what there is, or change {variable}",
                    )
        self.total = dict(total)
        self._changed = threading.Condition()
        self._held: dict[Claim, Holder] = {}

    def _free(self, resource: str) -> list[int]:
        taken = {number for claim in self._held for number in claim.units.get(resource, ())}
        return [number for number in range(self.total.get(resource, 0)) if number not in taken]

    def are_there(self, wanted: Mapping[str, int]) -> bool:
        """Whether a claim could be taken at once, or as soon as idle holders have ended."""
        with self._changed:
            return all(
                count
                <= len(self._free(resource))
                + sum(len(claim.units.get(resource, ())) for claim, holder in self._held.items() if holder.is_idle)
                for resource, count in wanted.items()
            )

    def take(self, wanted: Mapping[str, int], holder: Holder, is_wanted: Callable[[], bool]) -> Claim | None:
        """Wait until the units are free, ending idle holders if needed; None once it is no longer wanted."""
        while is_wanted():
            with self._changed:
                free = {resource: self._free(resource) for resource in wanted}
                if all(count <= len(free[resource]) for resource, count in wanted.items()):
                    claim = Claim({resource: tuple(free[resource][:count]) for resource, count in wanted.items()})
                    self._held[claim] = holder
                    return claim
                idle = [other for other in self._held.values() if other is not holder and other.is_idle]
            for other in idle:
                other.release()
            with self._changed:
                self._changed.wait(_LOOK_SECONDS)
        return None

    def give_back(self, claim: Claim) -> None:
        """Give a claim back; only call this when the process has ended."""
        with self._changed:
            self._held.pop(claim, None)
            self._changed.notify_all()
