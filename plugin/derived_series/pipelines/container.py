"""InputContainer: what ``process`` gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydicom.dataset import Dataset

from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.source.series import ParentSeries


@dataclass(frozen=True, eq=False)
class InputContainer(Mapping[str, Any]):
    """The inputs of one derivation, by the names that the pipeline's ``input`` gives them.

    ``container["CT"]`` is what the input's grinder made.

    :param header: the SeriesHeader of the derived series, ready; None when the pipeline names no blueprint.
    :param parents: the series themselves, by input name.
    :param parameters: the validated parameters, an object of the pipeline's ``parameters`` class.
    """

    data: Mapping[str, Any]
    header: SeriesHeader | None
    parents: Mapping[str, ParentSeries]
    parameters: BaseModel

    @property
    def datasets(self) -> dict[str, tuple[Dataset, ...]]:
        """The instances of each input, ascending along the normal."""
        return {name: parent.instances for name, parent in self.parents.items()}

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)
