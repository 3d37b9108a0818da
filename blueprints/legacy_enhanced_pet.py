"""A PET series in the units of its parent as one Legacy Converted Enhanced PET instance of all slices."""

from pydicom.uid import LegacyConvertedEnhancedPETImageStorage

from derived_series import (
    Blueprint,
    StaticElement,
    pet_image_blueprint,
    pet_isotope_blueprint,
    pet_series_blueprint,
    volume_blueprint,
)

blueprint = (
    volume_blueprint
    + pet_series_blueprint
    + pet_isotope_blueprint
    + pet_image_blueprint
    + Blueprint([StaticElement("SOPClassUID", LegacyConvertedEnhancedPETImageStorage)])
)
