"""Writing the stored instances of a series as files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset

from derived_series.dicom.source.multiframe.frame import source_of


def save(instances: Iterable[Dataset], folder: Path) -> tuple[Path, ...]:
    """Write each stored instance once, multi-frame instances and mosaics complete; return the files in that order."""
    folder.mkdir(parents=True, exist_ok=True)
    wholes = {str(whole.SOPInstanceUID): whole for whole in map(source_of, instances)}
    paths = []
    for number, whole in enumerate(wholes.values(), 1):
        path = folder / f"{number:06d}.dcm"
        there = getattr(whole, "filename", None)
        if isinstance(there, str | Path) and Path(there).is_file():
            shutil.copyfile(there, path)
        else:
            meta = getattr(whole, "file_meta", None)
            if meta is None or not meta.get("TransferSyntaxUID"):  # it came without file meta information
                implicit, little = whole.original_encoding
                dcmwrite(path, whole, implicit_vr=bool(implicit), little_endian=little is not False)
            else:
                dcmwrite(path, whole, enforce_file_format=True)
        paths.append(path)
    return tuple(paths)
