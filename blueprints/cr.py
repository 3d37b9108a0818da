"""A Computed Radiography series: each image stays what its parent image is."""

from derived_series import common_blueprint, cr_image_blueprint

blueprint = common_blueprint + cr_image_blueprint
