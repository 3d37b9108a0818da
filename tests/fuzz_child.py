"""Derives series from damaged inputs, one for each line of its standard input, and reports how each ended.

It keeps no state between cases: a case is its seed and its number.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from random import Random
from typing import Any

from pydicom import dcmread

from building import ready
from derived_series import NiftiFactory, NumpyFactory, ParentSeries, Resampling
from derived_series.dicom.factories.nifti import announced_size
from derived_series.dicom.series.interface import Series
from derived_series.errors import DerivedSeriesError, InvalidImage
from fuzz_dicom import damaged_series
from fuzz_images import damaged_nifti, damaged_npy, parent

#: The limits of WorkerMemoryMB and MaxImageMB in bytes: private memory of the process, and of unpacked images.
MEMORY = 1 << 30
IMAGE = 64 << 20

_OBJECTS = ("secondary_capture", "multiframe_secondary_capture", "segmentation", "parametric_map", "rt_dose",
            "legacy_enhanced_ct")  # fmt: skip
_BLUEPRINTS = {"CT": "ct", "MR": "mr", "PT": "pet"}


def run(random: Random, folder: Path) -> tuple[str, str]:
    """(the damage, how it ended). :raises Exception: a defect."""
    kind = random.choice(("dicom", "dicom", "nifti", "npy"))
    try:
        if kind == "dicom":
            what, parts = damaged_series(random)
            return what, _outcome(lambda: _from_series(random, parts, folder))
        what, suffix, content = damaged_nifti(random) if kind == "nifti" else damaged_npy(random)
        path = folder / f"image{suffix}"
        path.write_bytes(content)
        return what, _outcome(lambda: _from_image(random, path))
    except Exception as error:
        error.add_note(f"after {locals().get('what')}")
        raise


def _outcome(derive: Any) -> str:
    try:
        _check(derive())
    except DerivedSeriesError as error:
        if not error.message or len(str(error)) > 20000:
            raise AssertionError(f"a message of {len(str(error))} characters") from error
        return type(error).__name__
    return "derived"


def _from_series(random: Random, parts: list[bytes], folder: Path) -> Series:
    if random.random() < 0.3:
        paths = [folder / f"{index}.dcm" for index in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            path.write_bytes(part)
        series = ParentSeries.from_files(paths)
    else:
        series = ParentSeries.from_bytes(parts)
    usual = _BLUEPRINTS.get(series.modality, "secondary_capture")
    name = usual if random.random() < 0.7 else random.choice(_OBJECTS)
    if random.random() < 0.2:
        factory = NiftiFactory()
        return factory.build(factory.make_series_header(series, ready(name)), series.to_nifti())
    plain = NumpyFactory()
    image = series.slices() if random.random() < 0.7 else series.voxels()
    if name == "segmentation":
        image = series.voxels() > 0  # type: ignore[assignment]
    return plain.build(plain.make_series_header(series, ready(name)), image)


def _from_image(random: Random, path: Path) -> Series:
    factory = NumpyFactory() if path.suffix == ".npy" else NiftiFactory()
    if path.suffix != ".npy" and announced_size(path) > IMAGE:  # as a worker does
        raise InvalidImage("over MaxImageMB")
    nan = 0.0 if random.random() < 0.3 else None
    resampling = Resampling() if random.random() < 0.5 else None
    header = factory.make_series_header(parent(), ready("ct" if random.random() < 0.7 else random.choice(_OBJECTS)))
    return factory.build(header, factory.read(path), nan=nan, resampling=resampling)


def _check(series: Series) -> None:
    """Require that every instance is a whole DICOM file."""
    uids = set()
    for index in range(len(series)):
        dataset = dcmread(io.BytesIO(series.encode(index)))
        bits = dataset.Rows * dataset.Columns * dataset.BitsAllocated * dataset.SamplesPerPixel
        size = (bits * int(dataset.get("NumberOfFrames") or 1) + 7) // 8
        pixels = next(dataset[keyword].value for keyword in ("PixelData", "FloatPixelData") if keyword in dataset)
        assert len(pixels) == size + size % 2 and dataset.ImageType[0] == "DERIVED"
        uids.add(dataset.SOPInstanceUID)
    assert len(uids) == len(series) > 0


def main() -> None:
    warnings.simplefilter("ignore")
    warnings.filterwarnings("error", category=RuntimeWarning)
    parent()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # decoders in C may print
    for line in sys.stdin:
        seed, number = line.split()
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                what, end = run(Random(f"{seed}/{number}"), Path(folder))
                report: dict[str, Any] = {"what": what, "end": end}
            except BaseException as error:
                text = "".join(traceback.format_exception(error))[-6000:]
                report = {"what": "?", "end": f"DEFECT {type(error).__name__}", "trace": text}
        report["seconds"] = time.monotonic() - begin
        report["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        answers.write(json.dumps(report) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
