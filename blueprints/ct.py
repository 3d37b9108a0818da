"""A CT series in Hounsfield units, beside its CT parent."""

from derived_series import ct_image_blueprint, volume_blueprint

blueprint = volume_blueprint + ct_image_blueprint
