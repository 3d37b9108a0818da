"""Options: the settings of a request for a pipeline or a blueprint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.blueprints.space import FrameChoice
from derived_series.dicom.factories.base import DicomFactory
from derived_series.dicom.image.resampling import Resampling
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.kinds import sop_class
from derived_series.pipelines.gate import STRICT, Validation, check_series
from derived_series.transfer_syntaxes import DEFAULT


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of a request for a pipeline or a blueprint.

    :param strategy: in place of the pipeline's; :param extra: elements that take precedence over the blueprint's;
    :param nan: the replacement of NaN and Inf;
    :param resampling: how an image of another grid is brought to the parent's; None leaves it where it is;
    :param transfer_syntax: keyword or UID of the transfer syntax; None is the default of the series' class,
        uncompressed except for label maps;
    :param validation: what happens to a series that breaks a rule of its IOD;
    :param frame_of_reference: ``"New"`` for an image in another space than the patient's, such as MNI's.
    """

    strategy: FillingStrategy | None = None
    extra: Blueprint = field(default_factory=Blueprint)
    nan: float | None = None
    resampling: Resampling | None = None
    transfer_syntax: str | None = None
    validation: Validation = STRICT
    frame_of_reference: FrameChoice = "Parent"

    def build(self, factory: DicomFactory, header: SeriesHeader, image: Any, nan: float | None) -> Series:
        """Build the series of a header and an image. A factory gets only the requested settings, as it may be older."""
        asked = {
            "nan": nan,
            "resampling": self.resampling,
            "frame_of_reference": None if self.frame_of_reference == "Parent" else self.frame_of_reference,
        }
        build: Any = factory.build
        series: Series = build(header, image, **{key: value for key, value in asked.items() if value is not None})
        return series

    def ready(self, series: Series, parent: ParentSeries) -> Series:
        """The series, checked and in the requested transfer syntax. :raises ValidationFailed: see ``check_series``."""
        checked = check_series(series, parent, self.validation)
        syntax = self.transfer_syntax or sop_class(series.sop_class_uid).written_in or DEFAULT
        return checked if syntax == DEFAULT else checked.written_in(syntax)
