"""Makes the data that ``process`` gets of each input."""

from __future__ import annotations

from typing import Any

from derived_series.errors import InvalidParent
from derived_series.pipelines.input_series import InputSeries
from derived_series.pipelines.pipeline import Pipeline
from derived_series.pipelines.user_calls import call_user_code


def data_of_inputs(name: str, pipeline: Pipeline, inputs: InputSeries) -> dict[str, Any]:
    """The data by input name. An input besides the parent may bring its series onto the parent's grid.

    :param name: the pipeline's, in the library.
    :raises InvalidParent: the input's ``validate`` does not take its series.
    """
    data = {}
    for key, series in inputs.copies.items():
        taken = call_user_code(f"the constructor of input {key!r} of pipeline {name!r}", pipeline.input[key], series)
        if key != inputs.parent_name:
            taken = taken.on(inputs.parent_copy)
        if not call_user_code(f"validate of pipeline {name!r}", taken.validate):
            raise InvalidParent(
                f"the input {key!r} of pipeline {name!r} does not take the series: its validate() says no",
                remedy="name a series that it takes, or another pipeline",
            )
        data[key] = call_user_code(f"image_grinder of pipeline {name!r}", taken.get_data)
    return data
