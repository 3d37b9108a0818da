"""An MR series, beside its MR parent."""

from derived_series import mr_image_blueprint, volume_blueprint

blueprint = volume_blueprint + mr_image_blueprint
