"""A segmentation from probabilities (0 to 1), one map a segment; name them with segments(...), or Segments."""

from derived_series import fractional_segmentation_image_blueprint, frames_blueprint

blueprint = frames_blueprint + fractional_segmentation_image_blueprint
