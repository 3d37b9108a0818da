"""DeriveRequest: a request for a derivation, the JSON body of ``POST /series/{id}/derive``."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import (
    BaseModel,
    Field,
    JsonValue,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_pascal, to_snake

from derived_series.errors import InvalidImage, InvalidRequest
from derived_series.jobs.requests.retrieval import RetrieveRequest
from derived_series.json_model import JsonModel
from derived_series.kinds import REQUEST_KEYS
from derived_series.shortening import shortened
from derived_series.transfer_syntaxes import written_uid
from derived_series.wrong_values import json_type, place_of, place_text, problems_in_words

#: An Orthanc identifier: a SHA-1 in five groups of eight hexadecimal digits.
ORTHANC_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}")

_DEEPEST_LEVELS = 32
#: The default documentation page about the keys of a request.
_REFERENCE = "docs/reference.md"
#: The most digits of a whole number that is read.
_INTEGER_DIGITS = 1000
#: The remedy for a body that is empty or not JSON.
_JSON_REMEDY = "send a JSON object in UTF-8: docs/reference.md says which keys a route takes"

M = TypeVar("M", bound=BaseModel)

OrthancId = Annotated[str, Field(pattern=rf"^{ORTHANC_ID.pattern}$")]
Cosines = Annotated[list[float], Field(min_length=6, max_length=6)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
#: One component group of a PN (PS3.5 6.2) that does not consist only of spaces.
PersonName = Annotated[
    str, Field(max_length=64, pattern=r"^[^\\=\x00-\x1f\x7f]*[^\\=\x00-\x20\x7f][^\\=\x00-\x1f\x7f]*$")
]


if TYPE_CHECKING:
    KeysOfKinds = JsonModel
else:
    KeysOfKinds = create_model(
        "KeysOfKinds",
        __base__=JsonModel,
        **{to_snake(key.name): (key.form, Field(None, alias=key.name)) for key in REQUEST_KEYS},
    )


class DeriveRequest(KeysOfKinds):
    """A request for a derivation; its keys are CamelCase in JSON (``SeriesDescription``).

    Keys that apply only to some kinds of objects come from the declarations of the kinds.

    It names either a ``Pipeline`` (with ``Parameters``), which makes the image, or a ``Blueprint`` and a ``Factory``
    for an image (without an image, for the parent's own values).
    """

    pipeline: Name | None = None
    parameters: dict[str, JsonValue] = {}
    blueprint: Name | None = None
    factory: Name | None = None
    image: Annotated[str | None, Field(repr=False)] = None
    inputs: dict[Name, OrthancId] = {}
    retrieve: Annotated[dict[Name, RetrieveRequest], Field(max_length=8)] = {}
    orientation: Literal["Axial", "Sagittal", "Coronal"] | Cosines | None = None
    part: Literal["Magnitude", "Phase", "Real", "Imaginary"] | None = None
    filling_strategy: Literal["Discard", "Copy"] | None = None
    replace: dict[Name, JsonValue] = {}
    series_description: Annotated[str, Field(max_length=64)] | None = None
    derivation: Name | None = None
    nan: Annotated[float | None, Field(alias="NaN")] = None
    grid: Literal["Own", "Parent"] = "Own"
    interpolation: Literal["Linear", "Nearest"] | None = None
    outside: float | None = None
    frame_of_reference: Literal["Parent", "New"] = "Parent"
    transfer_syntax: Name | None = None
    validation: Literal["Strict", "Warn", "Off"] | None = None
    dry_run: bool = False
    preview: bool = False
    synchronous: bool | None = None
    asynchronous: bool | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    destinations: list[Name] = []
    hold_until_accepted: bool | None = None
    if_exists: Literal["New", "Reuse", "Replace"] = "New"
    timeout: Annotated[float, Field(gt=0, le=7 * 86400)] | None = None
    user: PersonName | None = None

    @field_validator("transfer_syntax")
    @classmethod
    def _written(cls, name: str | None) -> str | None:
        try:
            return None if name is None else written_uid(name) and name
        except InvalidRequest as error:
            raise ValueError(f"{error.message}; {error.remedy}") from error

    @model_validator(mode="after")
    def _consistent(self) -> DeriveRequest:
        if self.pipeline is not None:
            for key in ("blueprint", "factory", "image"):
                if getattr(self, key) is not None:
                    raise ValueError(f"Pipeline and {to_pascal(key)} exclude each other: a pipeline brings its own")
        elif self.blueprint is None or self.factory is None:
            raise ValueError("name either a Pipeline, or a Blueprint and a Factory")
        elif self.parameters:
            raise ValueError("Parameters are a pipeline's; there is no Pipeline")
        if self.retrieve:
            self._check_retrieve()
        if self.grid == "Own" and (self.interpolation is not None or self.outside is not None):
            raise ValueError('Interpolation and Outside tell how to resample: ask for "Grid": "Parent"')
        if self.grid == "Parent" and self.frame_of_reference == "New":
            raise ValueError('FrameOfReference is the parent\'s on the parent\'s grid: ask for "Grid": "Own"')
        if self.preview and not self.dry_run:
            raise ValueError('Preview is a slice of what would be stored: ask for "DryRun": true')
        if self.synchronous is not None and self.synchronous == self.asynchronous:
            raise ValueError("Synchronous and Asynchronous contradict each other")
        return self

    def _check_retrieve(self) -> None:
        if self.pipeline is None:
            raise ValueError("Retrieve is for the inputs of a Pipeline; there is no Pipeline")
        if both := sorted(set(self.retrieve).intersection(self.inputs)):
            raise ValueError(f"Retrieve and Inputs both name {', '.join(both)}")
        if self.if_exists == "Reuse":
            raise ValueError('what another server has, only the job learns: ask without "IfExists": "Reuse"')

    def of_kinds(self) -> dict[str, Any]:
        """The keys that apply only to some kinds of objects, as JSON, without empty ones."""
        names = {to_snake(key.name) for key in REQUEST_KEYS}
        values = self.model_dump(by_alias=True, include=names, exclude_none=True)
        return {name: value for name, value in values.items() if value not in ([], {})}

    @property
    def is_synchronous(self) -> bool:
        """Whether the answer waits for the derived series; as in Orthanc, that is the default."""
        if self.synchronous is not None:
            return self.synchronous
        return not self.asynchronous

    def to_json(self) -> dict[str, Any]:
        """The request as JSON, with the keys that the client sent, without the image."""
        return self.model_dump(mode="json", by_alias=True, exclude={"image"}, exclude_unset=True)

    @classmethod
    def of(cls, document: object) -> DeriveRequest:
        """Check a decoded JSON body.

        :raises InvalidRequest: naming every wrong key, and what is expected there.
        """
        if not isinstance(document, dict):
            raise InvalidRequest(
                f"the request is a JSON {json_type(document)}, not an object",
                remedy='send an object such as {"Pipeline": "gaussian_smoothing", "Parameters": {}}',
            )
        return validated(cls, document)

    def image_bytes(self) -> bytes | None:
        """Decode the ``Image`` key, which is base64 (RFC 4648).

        :raises InvalidImage: it is not base64.
        """
        if self.image is None:
            return None
        if not self.image.strip():
            raise InvalidImage("Image is empty", remedy="give the file in base64, or leave Image out")
        try:
            return base64.b64decode(self.image, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidImage(
                "Image is not base64 (RFC 4648): letters, digits, + and /, with = at the end and no line feeds",
                remedy="or send the file itself: POST /series/{id}/derive/{blueprint}/{factory}",
            ) from error


def parse_json(body: bytes, what: str) -> Any:
    """Decode JSON that a client sent (RFC 8259: no NaN, no repeated keys).

    :raises InvalidRequest: naming the place.
    """
    if not body.strip():
        raise InvalidRequest(f"{what} is empty", remedy=_JSON_REMEDY)
    try:
        document = json.loads(
            body.decode(json.detect_encoding(body), "surrogatepass"),
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_no_repetition,
        )
    except json.JSONDecodeError as error:
        place = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"{what} is not JSON: {place}", remedy=_JSON_REMEDY) from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"{what} is not JSON: it is not text in UTF-8, from byte {error.start + 1} on", remedy=_JSON_REMEDY
        ) from error
    except RecursionError as error:
        raise _too_deep(what) from error
    except ValueError as error:  # of the functions below
        raise InvalidRequest(f"{what} is not JSON: {error}", remedy=_JSON_REMEDY) from error
    if _depth(document) > _DEEPEST_LEVELS:
        raise _too_deep(what)
    return document


def _too_deep(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"{what} is nested more than {_DEEPEST_LEVELS} levels deep",
        remedy="send objects and arrays in fewer levels; the keys of a request are in docs/reference.md",
    )


def _depth(value: object, level: int = 1) -> int:
    if level > _DEEPEST_LEVELS:
        return level
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max((_depth(item, level + 1) for item in inner), default=level)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > _INTEGER_DIGITS:
        raise ValueError(f"the number {text[:40]}... is too large")
    return int(text)


def _no_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shortened(twice, 60)!r} is there twice")
    return document


def validated(model: type[M], document: object, where: str = "", keys_in: str = _REFERENCE) -> M:
    """Check a decoded JSON document.

    :param where: the beginning of the message. :param keys_in: the documentation page with the model's keys.
    :raises InvalidRequest: it has wrong keys; the error names each, and for an unknown one the known keys.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        items = error.errors()
        unknown = [place_of(item, document)[:-1] for item in items if item["type"] == "extra_forbidden"]
        remedy = "; ".join(dict.fromkeys(_known(model, place) for place in unknown))
        remedy = remedy or f"correct it: {keys_in} says what each key takes"
        raise InvalidRequest(where + "; ".join(problems_in_words(items, document)), remedy=remedy) from error


def _known(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """The known keys at a place, or else at the nearest enclosing one."""
    models: list[type[BaseModel]] = [model]
    for part in place:
        models = [each for one in models for each in _models_below(one, part)] or models
    where = place_text(place) if models != [model] else ""
    keys = ", ".join(dict.fromkeys(key for one in models for key in known_keys(one)))
    return f"known keys{f' of {where}' if where else ''}: {keys}"


def _models_below(model: type[BaseModel], part: int | str) -> list[type[BaseModel]]:
    """The models that the value of a key may have; for arrays and objects, those of their items."""
    for name, field in model.model_fields.items():
        if part == (field.alias or name):
            return _models_in(field.annotation)
    if model.model_config.get("extra") == "allow" and isinstance(part, str):
        return _models_in(get_type_hints(model).get("__pydantic_extra__"))
    return []


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [each for inner in get_args(annotation) for each in _models_in(inner)]


def known_keys(model: type[BaseModel]) -> list[str]:
    """The keys of a model in JSON, those of its base last."""
    names = sorted(model.model_fields, key=lambda name: name not in model.__annotations__)
    return [model.model_fields[name].alias or name for name in names]
