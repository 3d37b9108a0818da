"""An errand: all that dask carries of a task. Where to ask for it, and a ticket that is good for asking once.

Nothing of a patient and no credential is in it: dask's scheduler, its logs and its pages see it.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Errand:
    """
    :param url: where the worker reaches Orthanc.
    :param path: of the route that gives the task out, and below which it is reported on.
    :param ticket: is exchanged for the task, once.
    :param ca: the certificates to trust when that is HTTPS, in PEM; None: those of the worker's system.
    :param dicomweb_root: where Orthanc's DICOMweb plugin answers.
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


def to_be_done(function: Callable[[str], str], errand: str) -> bytes:
    """A pickle that runs an errand where it is read: by ``pickle.loads``, which every Python has.

    A function of this package, handed to dask as it is, would be looked up by the scheduler as well, which may be the
    site's own and without this package.
    """
    return pickle.dumps(_Done(function, errand))
