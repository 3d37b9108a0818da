"""Studies for a soak: a CT of its own for each patient, by other identifiers in the files of one phantom."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass

import numpy as np

from derived_series.dicomweb.stow import Part10
from phantoms import ct_phantom, encode
from soak_plan import SLICES, StudyPlan

ROWS = COLUMNS = 128
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Study:
    """A study to send. :ivar parts: its instances, from the first slice to the last."""

    study_instance_uid: str
    series_instance_uid: str
    parts: tuple[Part10, ...]


@dataclass(frozen=True, slots=True)
class _File:
    """An instance of a template study.

    :ivar uids: of study, series, instance and frame of reference, whose ends become the study's number.
    """

    data: bytes
    uids: tuple[str, str, str, str]


@functools.cache
def _files(description: str) -> tuple[_File, ...]:
    files = []
    for dataset in ct_phantom(SLICES, ROWS, COLUMNS, patient_id=f"SOAK-{0:0{_DIGITS}}", study="soak", series="soak"):
        dataset.SeriesDescription = description
        uids = (
            dataset.StudyInstanceUID,
            dataset.SeriesInstanceUID,
            dataset.SOPInstanceUID,
            dataset.FrameOfReferenceUID,
        )
        files.append(_File(encode(dataset), uids))
    return tuple(files)


def study_of(plan: StudyPlan) -> Study:
    """The same plan makes the same study."""
    number = f"{plan.number:0{_DIGITS}}"
    parts = []
    for file in _files(plan.description):
        data = file.data.replace(b"SOAK-" + b"0" * _DIGITS, b"SOAK-" + number.encode())
        for uid in file.uids:
            data = data.replace(uid.encode(), _renamed(uid, number).encode())
        parts.append(Part10(_renamed(file.uids[2], number), data))
    return Study(_renamed(file.uids[0], number), _renamed(file.uids[1], number), tuple(parts))


def _renamed(uid: str, number: str) -> str:
    """Of the same length."""
    return uid[:-_DIGITS] + number


@functools.cache
def image() -> bytes:
    """What an algorithm elsewhere has made of such a study, as a .npy file."""
    file = io.BytesIO()
    values = np.random.default_rng(1).integers(-1000, 1000, (SLICES, ROWS, COLUMNS), np.int16)
    np.save(file, values)
    return file.getvalue()
