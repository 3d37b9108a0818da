"""An MR series as one Legacy Converted Enhanced MR instance of all slices."""

from pydicom.uid import LegacyConvertedEnhancedMRImageStorage

from derived_series import Blueprint, StaticElement, mr_image_blueprint, volume_blueprint

blueprint = (
    volume_blueprint
    + mr_image_blueprint
    + Blueprint([StaticElement("SOPClassUID", LegacyConvertedEnhancedMRImageStorage)])
)
