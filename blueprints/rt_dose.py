"""A dose grid in Gy, beside the series that it was computed on, or instead of a dose it was computed from."""

from derived_series import frames_blueprint, image_plane_blueprint, rt_dose_blueprint

blueprint = frames_blueprint + image_plane_blueprint + rt_dose_blueprint
