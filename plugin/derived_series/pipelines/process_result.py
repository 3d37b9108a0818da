"""Splits the result of ``process`` into outputs and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset

from derived_series.dicom.modules import Measurement
from derived_series.errors import UserCodeError
from derived_series.pipelines.output import RESULT, VALUES, Value, values_of
from derived_series.pipelines.pipeline import Pipeline
from derived_series.pipelines.user_calls import type_in_words


def by_output(name: str, pipeline: Pipeline, result: Any) -> tuple[dict[str, Any], dict[str, Value]]:
    """The result of ``process`` by output, and its numbers.

    :raises UserCodeError: an output is missing or unknown.
    """
    outputs = pipeline.all_outputs()
    what = f"process of pipeline {name!r}"
    is_named = isinstance(result, Mapping) and not isinstance(result, Dataset)
    if is_named and not pipeline.outputs and not set(result) <= {RESULT, VALUES}:
        is_named = False  # a user's factory may take anything
    if not is_named:
        if len(outputs) > 1:
            raise UserCodeError(
                f"{what} returned {type_in_words(result)}, but it has the outputs {', '.join(outputs)}",
                remedy="return a dict with what each output is made of",
            )
        return {next(iter(outputs)): result}, {}
    unknown = [str(key) for key in result if key not in outputs and key != VALUES]
    values = values_of(result.get(VALUES), what)
    images = {key: result[key] for key in outputs if result.get(key) is not None}
    for key in [key for key, output in outputs.items() if output.values]:
        report = [*_listed(images.pop(key, ()), what, key), *(v.measurement(k) for k, v in values.items())]
        images |= {key: report} if report else {}
    missing = [key for key, output in outputs.items() if key not in images and not output.optional]
    if unknown or missing:
        deviations = [f"without {', '.join(missing)}"] * bool(missing) + [f"with {', '.join(unknown)}"] * bool(unknown)
        raise UserCodeError(
            f"{what} returned a dict {' and '.join(deviations)}; its outputs are {', '.join(outputs)}",
            remedy="return all outputs by name, and numbers by 'values'; Output(..., optional=True) may be missing",
        )
    if not images:
        raise UserCodeError(f"{what} returned none of its outputs ({', '.join(outputs)})", remedy="return one at least")
    return images, values


def _listed(measurements: Any, what: str, key: str) -> list[Measurement]:
    """The list of a report's measurements. :raises UserCodeError: it is not one."""
    if not isinstance(measurements, list | tuple) or not all(isinstance(each, Measurement) for each in measurements):
        raise UserCodeError(
            f"{what} returned {type_in_words(measurements)} for {key!r}, a report of values",
            remedy="return a list of Measurement, or leave it out",
        )
    return list(measurements)
