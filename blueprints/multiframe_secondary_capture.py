"""One secondary capture of several pages, grey (8 or 16 bits) or in colour, without a claim about geometry."""

from derived_series import general_reference_blueprint, multiframe_secondary_capture_blueprint, object_blueprint

blueprint = object_blueprint + general_reference_blueprint + multiframe_secondary_capture_blueprint
