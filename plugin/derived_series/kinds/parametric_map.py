"""Parametric Map: floats as they are."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from derived_series.kinds.kind import Kind, RequestKey, SopClass

#: What the values are measured in.
UNITS = RequestKey(
    "Units",
    "RealWorldValueMappingSequence",
    module="parametric_map",
    form=Annotated[str, Field(min_length=1, max_length=16)] | None,
)

PARAMETRIC_MAP = SopClass(uid="1.2.840.10008.5.1.4.1.1.30", name="Parametric Map Storage", single_instance=True)

KINDS = (
    Kind(
        "parametric_map",
        "parametric_map",
        (PARAMETRIC_MAP,),
        'Parametric Map: 32 bit floats; `real_world_values("mm2/s")` says what they are measured in',
        builder="parametric_map",
        made_from="Floats",
        keys=(UNITS,),
    ),
)
