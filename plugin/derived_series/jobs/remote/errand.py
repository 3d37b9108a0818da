"""Errand: everything that dask carries of a task, which is where to get it and a ticket for getting it once.

It contains no patient data and no credentials, because dask's scheduler, logs and pages can show it.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BytesIO


@dataclass(frozen=True, slots=True)
class Errand:
    """The instructions for a worker to get a task from Orthanc.

    :param url: the URL at which the worker reaches Orthanc.
    :param path: the path of the route that hands out the task, below which the worker reports.
    :param ticket: exchanged for the task, once.
    :param ca: the certificates to trust for HTTPS, in PEM; None: those of the worker's system.
    :param dicomweb_root: the path of Orthanc's DICOMweb plugin.
    :param store_timeout: seconds that a request with instances may last.
    """

    url: str
    path: str
    ticket: str
    ca: str | None
    dicomweb_root: str
    store_timeout: float

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Errand:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class _Done:
    function: Callable[[str], str]
    text: str

    def __reduce__(self) -> tuple[object, ...]:
        return (self.function, (self.text,))


def to_be_done(function: Callable[[str], str], errand: str) -> BytesIO:
    """Make a pickle that runs an errand where it is unpickled, by ``pickle.load``, which every Python has.

    If dask got a function of this package, the scheduler would import it too, which may run without this package. dask
    may log the arguments of a task that fails: the ``repr`` of a file does not show what is in it, the ticket.
    """
    return BytesIO(pickle.dumps(_Done(function, errand)))
