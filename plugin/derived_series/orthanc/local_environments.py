"""The environments whose workers are on this machine."""

from __future__ import annotations

from pathlib import Path

from derived_series.jobs.pool.claims import Claims
from derived_series.jobs.pool.environments import AnyEnvironment, Environment, Place
from derived_series.jobs.work.entry import warm_up
from derived_series.orthanc.config import Settings


def local_environments(settings: Settings, folder: Path, folders: tuple[str, ...]) -> dict[str, AnyEnvironment]:
    """The environments of the configuration that are on this machine. :param folder: the base of relative paths."""
    claims = Claims(settings.total_resources)
    places = {
        name: Place(folder / each.python, each.workers, each.idle_seconds, each.resources)
        for name, each in settings.environments.items()
        if each.python is not None
    }
    return {name: Environment(name, place, claims, warm_up, folders) for name, place in places.items()}
