"""One page of a label map: names, volumes in ml, and three planes through the largest structure."""

from derived_series import common_blueprint, summary_blueprint

blueprint = common_blueprint + summary_blueprint
