"""A Digital Mammography series: each image stays what its parent image is."""

from derived_series import common_blueprint, mg_image_blueprint

blueprint = common_blueprint + mg_image_blueprint
