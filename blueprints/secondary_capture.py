"""A secondary capture series: any image of the patient, without a claim about modality or geometry."""

from derived_series import common_blueprint, secondary_capture_blueprint

blueprint = common_blueprint + secondary_capture_blueprint
