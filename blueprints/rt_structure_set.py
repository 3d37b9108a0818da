"""An RT structure set from a label map or mask: contours on the parent's slices, described by segments(...)."""

from derived_series import frames_blueprint, rt_structure_set_blueprint

blueprint = frames_blueprint + rt_structure_set_blueprint
