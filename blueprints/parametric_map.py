"""A map of real values in any unit (ADC, T1, probability); name it: real_world_values, or Units in the request."""

from derived_series import frames_blueprint, parametric_map_image_blueprint

blueprint = frames_blueprint + parametric_map_image_blueprint
