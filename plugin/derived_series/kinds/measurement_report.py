"""Measurement report: Comprehensive 3D SR by TID 1500."""

from __future__ import annotations

from derived_series.kinds.file_types import FileType
from derived_series.kinds.kind import Kind, SopClass

JSON = FileType(
    "JSON file of measurements",
    ".json",
    (b"{", b"["),
    "use the factory measurement_report with the blueprint measurement_report",
    "measurement_report",
    lines_from=None,
)

COMPREHENSIVE_3D_SR = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.88.34", name="Comprehensive 3D SR Storage", modality="SR", single_instance=True
)

KINDS = (
    Kind(
        "measurement_report",
        "measurement_report",
        (COMPREHENSIVE_3D_SR,),
        "Comprehensive 3D SR by TID 1500, from a JSON file of measurements, or from a list of `Measurement` in a "
        "pipeline",
        builder="measurement_report",
        made_from="File",
        files=(JSON,),
    ),
)
