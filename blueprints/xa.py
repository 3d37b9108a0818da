"""An X-ray angiographic or radiofluoroscopic series: each image stays what its parent image is."""

from derived_series import common_blueprint, xa_image_blueprint

blueprint = common_blueprint + xa_image_blueprint
