"""InputContainer: the argument of ``process``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydicom.dataset import Dataset

from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.pipelines.workplace import Workplace, temporary_folder


@dataclass(frozen=True, eq=False)
class InputContainer(Mapping[str, Any]):
    """The inputs of one derivation, by the names in the pipeline's ``input``.

    ``container["CT"]`` is what the input's grinder made.

    :param headers: the finished SeriesHeaders of the derived series, by output name; without a blueprint there is none.
    :param parents: the series themselves, by input name.
    :param parameters: the validated parameters, an object of the pipeline's ``parameters`` class.
    :param workplace: the folder, progress and log of the run.
    """

    data: Mapping[str, Any]
    headers: Mapping[str, SeriesHeader] = field(repr=False)
    parents: Mapping[str, ParentSeries] = field(repr=False)
    parameters: BaseModel
    workplace: Workplace = field(repr=False)

    @property
    def header(self) -> SeriesHeader | None:
        """The header of the first output; None if the pipeline names no blueprint."""
        return next(iter(self.headers.values()), None)

    @property
    def datasets(self) -> dict[str, tuple[Dataset, ...]]:
        """The instances of each input, ascending along the normal."""
        return {name: parent.instances for name, parent in self.parents.items()}

    @cached_property
    def folder(self) -> Path:
        """A folder for files, which is TMPDIR while a job runs. It is removed after the job."""
        return self.workplace.folder or temporary_folder()

    def progress(self, part: float, text: str = "") -> None:
        """Report progress. :param part: from 0 to 1; :param text: the current step, such as "fold 2 of 5"."""
        self.workplace.progress(min(max(float(part), 0.0), 1.0), text)

    def log(self, text: object) -> None:
        """Write a line of the job's log."""
        self.workplace.log(str(text))

    def __getitem__(self, name: str) -> Any:
        if name not in self.data:
            raise KeyError(f"there is no input {name!r}: there are {', '.join(self.data)}")
        return self.data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)
