"""What user code prints and logs is passed on as lines of the job that runs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest

from derived_series.jobs.work.log_lines import output_of


@pytest.fixture
def model() -> Iterator[logging.Logger]:
    """A library's logger, whose records stay below the root's."""
    logger = logging.getLogger("model")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    yield logger
    logger.handlers.clear()
    logger.propagate = True


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_handler_of_prepare_speaks_for_the_job_that_runs(model: logging.Logger, stream: str) -> None:
    first: list[str] = []
    second: list[str] = []
    with output_of("first", first.append):
        model.addHandler(logging.StreamHandler(getattr(sys, stream)))  # in prepare(), once a worker
        model.info("of the first job")
        print("without an end of line", end="", file=getattr(sys, stream))
    with output_of("second", second.append):
        model.info("of the second job")
        getattr(sys, stream).close()
    third: list[str] = []
    with output_of("third", third.append):
        model.info("of the third job")
        print("printed", file=getattr(sys, stream))
    lines = [[line.partition(" ")[2] for line in each] for each in (first, second, third)]
    assert lines == [
        ["of the first job", "without an end of line"],
        ["of the second job"],
        ["of the third job", "printed"],
    ]
