"""A label map drawn over its parent, in RGB: outlines, fill and a legend, one picture a slice or a sheet of slices."""

from derived_series import common_blueprint, overlay_blueprint

blueprint = common_blueprint + overlay_blueprint
