"""General Equipment and Contributing Equipment (PS3.3 C.7.5.1, C.12.1): what acquired and what derived the image."""

from __future__ import annotations

import copy
from functools import cache
from importlib import metadata

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from derived_series.dicom.blueprints.algorithm import Algorithm
from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.blueprints.environment import ImageEnvironment
from derived_series.dicom.blueprints.function_elements import ImageElement, SeriesElement
from derived_series.dicom.encoding.times import as_datetime
from derived_series.dicom.modules.codes import code_item
from derived_series.dicom.modules.element_lists import copies, copies_or_empty
from derived_series.software import SOFTWARE

#: IHE AIR's purpose of reference, for which DICOM has no code yet.
_PROCESSING_ALGORITHM = Code("Newcode1", "99IHE", "Processing Algorithm")

MANUFACTURER = SOFTWARE
MODEL = "derived_series"

general_equipment_blueprint = Blueprint(
    [
        *copies_or_empty("Manufacturer"),
        *copies("InstitutionName", "InstitutionAddress", "StationName", "InstitutionalDepartmentName"),
        *copies("ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions", "SpatialResolution"),
    ]
).named("general_equipment")
"""General Equipment module (PS3.3 C.7.5.1): the parent's, which acquired the data."""


@cache
def software_version() -> str:
    """The version of this package."""
    try:
        return metadata.version("derived-series-orthanc")
    except metadata.PackageNotFoundError:  # used from a folder that is not installed
        return "unknown"


own_equipment_blueprint = Blueprint(
    [
        StaticElement("Manufacturer", "LO", MANUFACTURER),
        StaticElement("ManufacturerModelName", "LO", MODEL),
        StaticElement("DeviceSerialNumber", "LO", "none"),  # type 1, and software has none
        SeriesElement("SoftwareVersions", "LO", software_version),
    ]
).named("own_equipment")
"""General Equipment module (PS3.3 C.7.5.1) with this software as the equipment, for objects that it creates."""


def _contributing(env: ImageEnvironment) -> list[Dataset]:
    """The parent's items, one for the algorithm if it is named, and one for this processing."""
    items = [copy.deepcopy(item) for item in env.parent.pivot.get("ContributingEquipmentSequence") or []]
    algorithm = env.context.algorithm
    if algorithm is not None:
        items.append(_algorithm(algorithm, as_datetime(env.now)))
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.ProcessingEquipment)]
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = MODEL
    item.SoftwareVersions = software_version()
    item.ContributionDateTime = as_datetime(env.now)
    item.ContributionDescription = "Derived an image series from its parent series"
    return [*items, item]


def _algorithm(algorithm: Algorithm, now: str) -> Dataset:
    """The item of an algorithm (IHE AIR 6.5.3.1)."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(_PROCESSING_ALGORITHM)]
    item.Manufacturer = algorithm.manufacturer
    item.ManufacturerModelName = algorithm.name
    item.SoftwareVersions = algorithm.version
    if algorithm.uid is not None:
        item.DeviceUID = algorithm.uid
    item.ContributionDateTime = now
    return item


def algorithm_identification(algorithm: Algorithm) -> Dataset:
    """An item of an algorithm identification sequence (PS3.3 table 10-19)."""
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = [code_item(algorithm.family)]
    item.AlgorithmName = algorithm.name
    item.AlgorithmVersion = algorithm.version
    item.AlgorithmSource = algorithm.manufacturer
    return item


contributing_equipment_blueprint = Blueprint([ImageElement("ContributingEquipmentSequence", _contributing)]).named(
    "contributing_equipment"
)
"""ContributingEquipmentSequence (PS3.3 C.12.1): the parent's items, and one for this processing."""
