"""A label map as it is, labels with gaps too; say what they are with segments(...), or Segments in the request."""

from derived_series import frames_blueprint, label_map_segmentation_image_blueprint

blueprint = frames_blueprint + label_map_segmentation_image_blueprint
