"""Prepares pipelines once in a process, and gives every job a copy."""

from __future__ import annotations

import copy
import logging
import time
from functools import cache

from derived_series.pipelines.pipeline import Pipeline

_log = logging.getLogger(__name__)


def instance_of(pipeline: type[Pipeline]) -> Pipeline:
    """A pipeline object for one job; no other job sees what the job sets on it."""
    return pipeline() if pipeline.prepare is Pipeline.prepare else copy.copy(_prepared(pipeline))  # type: ignore[arg-type]  # a class is hashable


@cache
def _prepared(pipeline: type[Pipeline]) -> Pipeline:
    """The object that ``prepare`` was called on; if ``prepare`` raised, the next job calls it again."""
    instance = pipeline()
    began = time.monotonic()
    instance.prepare()
    seconds = round(time.monotonic() - began, 3)
    name = pipeline.pipeline_name()
    _log.info(
        "pipeline %r is prepared (%.1f s)", name, seconds, extra={"prepared": {"Pipeline": name, "Seconds": seconds}}
    )
    return instance
