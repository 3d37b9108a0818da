"""Makes each kind of object from each sort of parent, and records the refusals with their reasons."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from building import parent_of, ready
from derived_series import ParentSeries, derivation
from derived_series.dicom.factories.kinds import FACTORIES
from derived_series.errors import DerivedSeriesError
from derived_series.kinds import KINDS
from derived_series.kinds.kind import Kind
from derived_series.pipelines.gate import check_series
from multiframe import enhanced
from parents_of_kinds import PROJECTION, phantom_for
from phantoms import uid
from phantoms_4d import dynamic_pet_phantom, fmri_phantom

_SIZE = (3, 16, 16)
#: The smallest file for kinds that are made from a file.
FILES: Mapping[str, bytes] = {
    "encapsulated_pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    "measurement_report": b'[{"Of": "Liver", "Concept": "118565006", "Value": 1432.5, "Unit": "ml"}]',
}


def _volume(name: str, orientation: str = "axial") -> list[Dataset]:
    """A CT parent, or an MR or a PET for the kinds of these."""
    return phantom_for("ct" if name in PROJECTION else name, *_SIZE, orientation=orientation)


def _tilted(name: str) -> list[Dataset]:
    """A parent with slices turned about x by 15 degrees, whose table moves along z."""
    datasets = _volume(name)
    angle = np.radians(15)
    for dataset in datasets:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, round(float(np.cos(angle)), 8), round(float(np.sin(angle)), 8)]
        dataset.GantryDetectorTilt = 15
    return datasets


def _four_d(name: str) -> list[Dataset]:
    if "mr" in name:
        return fmri_phantom(2, *_SIZE)
    if "pet" in name:
        return dynamic_pet_phantom((10000, 10000), *_SIZE)
    datasets: list[Dataset] = []
    for time in (1, 2):
        for dataset in copy.deepcopy(_volume(name)):
            dataset.SOPInstanceUID = uid(dataset.SOPInstanceUID, time)
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.TemporalPositionIdentifier, dataset.InstanceNumber = time, len(datasets) + 1
            datasets.append(dataset)
    return datasets


def _rgb(name: str) -> list[Dataset]:
    """An ultrasound parent for ultrasound, else secondary captures of it."""
    datasets = phantom_for("us", *_SIZE, colour=True)
    if name != "us":
        for dataset in datasets:
            for keyword in ("FrameTime", "FrameIncrementPointer", "NumberOfFrames", "SequenceOfUltrasoundRegions"):
                dataset.pop(keyword, None)
            dataset.PixelData = dataset.PixelData[: 16 * 16 * 3]
            dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
            dataset.Modality, dataset.ConversionType = "OT", "WSD"
    return datasets


#: The parents by column: functions of the kind's blueprint name.
PARENTS: Mapping[str, Callable[[str], list[Dataset]]] = {
    "axial": _volume,
    "sagittal": lambda name: _volume(name, "sagittal"),
    "oblique": lambda name: _volume(name, "oblique"),
    "tilted": _tilted,
    "enhanced": lambda name: [enhanced(_volume(name))],
    "4D": _four_d,
    "RGB": _rgb,
    "projection": lambda name: phantom_for(name if name in PROJECTION else "dx", *_SIZE),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """The result for one kind and one parent.

    :param instances: how many are made; 0 if it is refused, for a ``reason``, with a ``remedy``.
    """

    instances: int
    reason: str = ""
    remedy: str = ""


def image_for(kind: Kind, parent: ParentSeries) -> Any:
    """An image for the kind, in the parent's shape."""
    if kind.made_from == "File":
        return FILES[kind.blueprint]
    colour = parent.pivot.SamplesPerPixel == 3
    if kind.made_from == "Image" or (colour and kind.made_from == "Whole numbers"):
        return parent.stored() if colour else parent.voxels()
    labels: npt.NDArray[np.uint8] = (np.indices(parent.shape).sum(axis=0) % 3).astype(np.uint8)
    return labels.astype(np.float32) / 2 if kind.made_from == "Floats" else labels


def cell(kind: Kind, parent: str) -> Cell:
    """Make the kind from a parent, through the gate. Only errors of the project count as a refusal."""
    try:
        series = parent_of(PARENTS[parent](kind.blueprint))
        factory = FACTORIES[kind.factory]()
        blueprint = ready(kind.blueprint) + derivation("Of the parent itself", "PixelByPixelMean")
        built = factory.build(factory.make_series_header(series, blueprint), image_for(kind, series))
        checked = check_series(built, series, "Strict")
        for index in range(len(checked)):
            checked.encode(index)
        return Cell(len(checked))
    except DerivedSeriesError as error:
        return Cell(0, _plain(error.message), error.remedy or "")


def _plain(text: str) -> str:
    """A message without UIDs."""
    return re.sub(r" \d+(\.\d+){5,}", "", text)


@lru_cache(maxsize=1)
def matrix() -> dict[str, dict[str, Cell]]:
    """The cells by kind and parent."""
    return {kind.blueprint: {parent: cell(kind, parent) for parent in PARENTS} for kind in KINDS}


def compact(cells: Mapping[str, Mapping[str, Cell]]) -> tuple[list[list[str]], list[str]]:
    """The rows of a table, heading first, and the reasons by their number, from 1 on.

    A cell is the number of instances, or the number of the reason in brackets.
    """
    reasons: list[str] = []
    rows = [["kind", *PARENTS]]
    for kind, row in cells.items():
        texts = [kind]
        for made_of in row.values():
            short = made_of.reason.split(": ")[0]
            if short and short not in reasons:
                reasons.append(short)
            texts.append(str(made_of.instances) if made_of.instances else f"[{reasons.index(short) + 1}]")
        rows.append(texts)
    return rows, reasons


def markdown(rows: Sequence[Sequence[str]], reasons: Sequence[str]) -> str:
    """The table and the list of reasons, for a document."""
    heading, *others = rows
    lines = [f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    lines += [f"| `{kind}` | {' | '.join(cells)} |" for kind, *cells in others]
    return "\n".join([*lines, "", *(f"{number}. {reason}" for number, reason in enumerate(reasons, start=1)), ""])


def plain_text(rows: Sequence[Sequence[str]], reasons: Sequence[str]) -> list[str]:
    """The same as lines of text in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, *(f"[{number}] {reason}" for number, reason in enumerate(reasons, start=1))]
