"""Remedies for clients of the routes: how to make the choices that errors suggest, and what to do about user code."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from derived_series.errors import Choice

#: The remedy for an error of user code that has none.
CODE_FAILED = "the pipeline's code has failed: the traceback is in the job's log"

#: How to make each choice by the keys of a request.
WORDS: Mapping[Choice, str] = MappingProxyType(
    {
        Choice.NAN: 'ask with "NaN": 0',
        Choice.PARENT_GRID: 'ask with "Grid": "Parent"',
        Choice.OWN_GRID: 'ask without "Grid": "Parent"',
        Choice.NEW_FRAME: 'ask with "FrameOfReference": "New"',
        Choice.PARENT_FRAME: 'ask without "FrameOfReference": "New"',
        Choice.NO_PLACE: 'ask without "Grid": "Parent" and "FrameOfReference": "New"',
        Choice.ORIENTATION: 'ask with "Orientation": {value}',
        Choice.PART: 'ask with "Part": {value}',
        Choice.TRANSFER_SYNTAX: 'ask for another "TransferSyntax"',
        Choice.WARNINGS: 'ask with "Validation": "Warn"',
        Choice.NO_VALIDATION: 'ask with "Validation": "Off"',
        Choice.CODE: '{{"Value": "", "Scheme": "", "Meaning": ""}}',
        Choice.FILE: "send the file as the body of the request",
    }
)
