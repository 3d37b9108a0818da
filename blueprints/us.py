"""An ultrasound series, single or multi-frame: each image stays what its parent image is."""

from derived_series import common_blueprint, us_image_blueprint

blueprint = common_blueprint + us_image_blueprint
