"""A segmentation from a label map or a mask; say what the labels are with segments(...), or Segments in the request."""

from derived_series import frames_blueprint, segmentation_image_blueprint

blueprint = frames_blueprint + segmentation_image_blueprint
