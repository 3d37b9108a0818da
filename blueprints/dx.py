"""A Digital X-Ray series, for presentation or for processing: each image stays what its parent image is."""

from derived_series import common_blueprint, dx_image_blueprint

blueprint = common_blueprint + dx_image_blueprint
