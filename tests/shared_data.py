"""Real series for tests, outside the repository: `../shared/data` beside it, or `DERIVED_SERIES_SHARED_DATA`.

Each series is a folder. Tests that need one skip if it does not exist:

    @needs_series("ct_axial_head_philips")
    def test_...():
        parent = ParentSeries.from_folder(series_folder("ct_axial_head_philips"))
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

NO_DATA = "skipped: no shared data"


def data_folder() -> Path | None:
    """The folder of all series, or None if there is none."""
    named = os.environ.get("DERIVED_SERIES_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def series_names() -> list[str]:
    """The existing series; empty if there are none."""
    folder = data_folder()
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder else []


def needs_series(*names: str) -> pytest.MarkDecorator:
    """Skip the test unless all these series exist."""
    return pytest.mark.skipif(not set(names) <= set(series_names()), reason=NO_DATA)


def series_folder(name: str) -> Path:
    """The folder of one series; skips the test if it does not exist."""
    folder = data_folder()
    if folder is None or not (folder / name).is_dir():
        pytest.skip(NO_DATA)
    return folder / name


def series_files(name: str) -> list[Path]:
    """The DICOM files of one series, by name."""
    return [path for path in sorted(series_folder(name).rglob("*")) if path.is_file() and _is_dicom(path)]


def series_datasets(name: str) -> list[Dataset]:
    """The datasets of one series, by file name."""
    return [dcmread(path) for path in series_files(name)]


def _is_dicom(path: Path) -> bool:
    try:
        dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
    except InvalidDicomError:
        return False
    return True
