"""Parametric Map Series and Image modules (PS3.3 C.8.32.1, C.8.32.2), as far as the frames do not decide them."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ParametricMapStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import CopyOrElseElement
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.blueprints.function_elements import ImageElement
from derived_series.dicom.modules.codes import code_item, unit
from derived_series.dicom.modules.derivation import lossy_compression


def real_world_values(
    units: Code | str, *, label: str = "REAL", explanation: str = "Real world values", quantity: Code | None = None
) -> Blueprint:
    """Make the blueprint with the units of a parametric map's values (PS3.3 C.7.6.16.2.11).

    :param units: a code of UCUM (``"mm2/s"``; ``"1"`` for none).
    :param label: LUTLabel, at most 16 characters; :param explanation: LUTExplanation.
    :param quantity: what is measured, of CID 7180 such as ``Code("113041", "DCM", "Apparent Diffusion Coefficient")``.
    :raises BlueprintError: the text is not a unit.
    """
    item = real_world_value_item(units, label, explanation, quantity)
    return Blueprint([StaticElement("RealWorldValueMappingSequence", "SQ", [item])])


def elements_of_request(units: str) -> Blueprint:
    """Make the elements for a unit, named in UCUM."""
    return real_world_values(units)


def real_world_value_item(
    units: Code | str, label: str = "REAL", explanation: str = "Real world values", quantity: Code | None = None
) -> Dataset:
    """Make an item of RealWorldValueMappingSequence (PS3.3 C.7.6.16.2.11), without range and slope: these follow later.

    :param units: a code of UCUM (``"mm2/s"``; ``"1"`` for none).
    :param label: LUTLabel, at most 16 characters; :param explanation: LUTExplanation.
    :param quantity: what is measured, of CID 7180 such as ``Code("113041", "DCM", "Apparent Diffusion Coefficient")``.
    :raises BlueprintError: the text is not a unit.
    """
    item = Dataset()
    item.LUTExplanation = explanation
    item.LUTLabel = label
    item.MeasurementUnitsCodeSequence = [code_item(unit(units))]
    if quantity is not None:
        definition = Dataset()
        definition.ValueType = "CODE"
        definition.ConceptNameCodeSequence = [code_item(codes.SCT.Quantity)]
        definition.ConceptCodeSequence = [code_item(quantity)]
        item.QuantityDefinitionSequence = [definition]
    return item


parametric_map_image_blueprint = Blueprint(
    [
        StaticElement("SOPClassUID", "UI", ParametricMapStorage),
        StaticElement("ImageType", "CS", ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]),
        StaticElement("ContentLabel", "CS", "MAP"),
        StaticElement("ContentDescription", "LO", None),
        StaticElement("ContentCreatorName", "PN", None),
        StaticElement("ContentQualification", "CS", "RESEARCH"),
        StaticElement("BurnedInAnnotation", "CS", "NO"),
        CopyOrElseElement("RecognizableVisualFeatures", "YES"),  # unless the parent knows better
        ImageElement("LossyImageCompression", lossy_compression),
    ]
).named("parametric_map_image")
"""Parametric Map Series and Image modules (PS3.3 C.8.32.1, C.8.32.2)."""
