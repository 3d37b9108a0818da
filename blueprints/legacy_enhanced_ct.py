"""A CT series in Hounsfield units as one Legacy Converted Enhanced CT instance of all slices."""

from pydicom.uid import LegacyConvertedEnhancedCTImageStorage

from derived_series import Blueprint, StaticElement, ct_image_blueprint, volume_blueprint

blueprint = (
    volume_blueprint
    + ct_image_blueprint
    + Blueprint([StaticElement("SOPClassUID", LegacyConvertedEnhancedCTImageStorage)])
)
