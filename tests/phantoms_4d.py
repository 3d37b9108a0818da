"""Series of several volumes on one grid: functional MR, diffusion MR, dynamic PET, made like those of phantoms."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from phantoms import from_files, mr_phantom, pet_phantom, uid


@from_files
def fmri_phantom(times: int = 4, slices: int = 5, rows: int = 8, columns: int = 6, *, tr: float = 2.0) -> list[Dataset]:
    """A functional MR, each volume a little brighter than the one before; in the order of acquisition.

    Slices are acquired interleaved, odd ones first. Only AcquisitionTime and InstanceNumber tell volumes and slices
    apart. :param tr: seconds.
    """
    datasets = []
    acquired = [*range(0, slices, 2), *range(1, slices, 2)]
    for time in range(times):
        for index, dataset in enumerate(mr_phantom(slices, rows, columns, orientation="axial", series=f"fmri {time}:")):
            dataset.ScanningSequence = "EP"
            dataset.MRAcquisitionType = "2D"
            dataset.RepetitionTime = 1000 * tr
            seconds = time * tr + acquired.index(index) * tr / slices
            dataset.AcquisitionTime = _clock(seconds)
            dataset.ContentTime = "103500"
            datasets.append(_of_series(dataset, "fmri", time, time * slices + index + 1))
    return datasets


@from_files
def dti_phantom(
    gradients: tuple[tuple[float, tuple[float, float, float] | None], ...] = (
        (0, None),
        (1000, (0, 0, 1)),
        (1000, (1, 0, 0)),
        (500, (0, 1, 0)),
    ),
    slices: int = 3,
    rows: int = 8,
    columns: int = 6,
) -> list[Dataset]:
    """A diffusion MR: b value and gradient direction of each volume, in the order of acquisition."""
    datasets = []
    for time, (b_value, gradient) in enumerate(gradients):
        for index, dataset in enumerate(mr_phantom(slices, rows, columns, orientation="axial", series=f"dti {time}:")):
            dataset.DiffusionBValue = float(b_value)
            if gradient is not None:
                dataset.DiffusionGradientOrientation = list(gradient)
            dataset.AcquisitionTime = dataset.ContentTime = "103000"
            datasets.append(_of_series(dataset, "dti", time, time * slices + index + 1))
    return datasets


@from_files
def dynamic_pet_phantom(
    durations: tuple[int, ...] = (10000, 10000, 10000), slices: int = 4, rows: int = 8, columns: int = 6
) -> list[Dataset]:
    """A dynamic PET; :param durations: of the frames, in ms."""
    datasets = []
    for time, duration in enumerate(durations):
        start = sum(durations[:time])
        for index, dataset in enumerate(pet_phantom(slices, rows, columns, series=f"pet {time}:")):
            dataset.SeriesType = ["DYNAMIC", "IMAGE"]
            dataset.NumberOfTimeSlices = len(durations)
            dataset.ActualFrameDuration = duration
            dataset.FrameReferenceTime = f"{start + duration / 2:.1f}"
            dataset.DecayFactor = f"{1 + time / 100:.2f}"
            dataset.AcquisitionTime = _clock(start / 1000)
            dataset.ContentTime = "103500"
            dataset.ImageIndex = time * slices + index + 1
            datasets.append(_of_series(dataset, "dynamic", time, dataset.ImageIndex))
    return datasets


def _clock(seconds: float) -> str:
    """A time, in seconds after 10:30."""
    minutes, rest = divmod(round(seconds, 6), 60)
    return f"10{30 + int(minutes):02d}{rest:09.6f}"


def _of_series(dataset: Dataset, series: str, time: int, number: int) -> Dataset:
    dataset.SeriesInstanceUID = uid(dataset.PatientID, dataset.StudyID, series)
    dataset.InstanceNumber = number
    values = np.frombuffer(dataset.PixelData, "<u2") // 2 + 100 * time  # each volume brighter than the one before
    dataset.PixelData = values.astype("<u2").tobytes()
    return dataset
