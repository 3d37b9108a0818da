"""A label map drawn over its parent, as a PDF of sheets or slices."""

from derived_series import object_blueprint, overlay_document_blueprint

blueprint = object_blueprint + overlay_document_blueprint
