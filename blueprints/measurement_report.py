"""A measurement report (TID 1500) of numbers: the body of the request is a JSON list of measurements."""

from derived_series import measurement_report_blueprint, object_blueprint

blueprint = object_blueprint + measurement_report_blueprint
