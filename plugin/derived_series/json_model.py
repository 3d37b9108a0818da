"""The base of all that clients and the configuration write as JSON objects."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_pascal


class JsonModel(BaseModel):
    """A JSON object with CamelCase keys, each of its own type; unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_pascal, allow_inf_nan=False)
