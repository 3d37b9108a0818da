"""Output: one of a pipeline's series, and the numbers that the pipeline gives besides."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.factories.base import DicomFactory
from derived_series.dicom.factories.kinds import ObjectFactory
from derived_series.dicom.modules.codes import snomed
from derived_series.dicom.modules.codes import unit as unit_code
from derived_series.dicom.modules.measurement_report import Measurement, SegmentReference
from derived_series.errors import BlueprintError, UserCodeError
from derived_series.identifiers import MOST_OUTPUTS

#: The key of the numbers in the result of ``process``.
VALUES = "values"
#: The name of the one output of a pipeline that has no ``outputs``.
RESULT = "result"

#: The UCUM units of volumes.
_VOLUMES = ("ml", "mL", "l", "L", "dl", "dL", "ul", "uL", "mm3", "cm3")
#: The private coding scheme (PS3.16 8.2) of the names that pipelines use for their numbers.
_OWN_SCHEME = "99DERIVEDSERIES"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Output:
    """One series of a pipeline, declared in ``outputs``.

    :param blueprint: its blueprint, or the name of one in the library; None asks the pipeline's ``blueprint_for``.
    :param factory: builds it from what ``process`` returns; by default from an array, PlacedImage, NIfTI image or file.
    :param optional: ``process`` may leave it out.
    :param filling_strategy: for the parent's tags that the blueprint does not name; None is the pipeline's.
    :param values: it is a measurement report of the numbers that ``process`` returns as ``"values"``; ``process`` may
        return a list of further ``Measurement`` for it.
    """

    blueprint: Blueprint | str | None = None
    factory: DicomFactory = field(default_factory=ObjectFactory)
    optional: bool = False
    filling_strategy: FillingStrategy | None = None
    values: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """A number that a run gives besides its series.

    :param number: an int or a float, finite.
    :param unit: in UCUM, such as ``"ml"`` or ``"[hnsf'U]"``; ``"1"`` for a number without unit.
    :param concept: the meaning of the number in a report: a code of SNOMED CT by name or value, or any Code. By default
        a number in a unit of volume is a volume, and any other gets a private code with its name.
    :param segment: where it was measured, for a report; None for the parent's images.
    """

    number: float
    unit: str = "1"
    concept: Code | str | None = None
    segment: SegmentReference | None = None

    def to_json(self) -> dict[str, Any]:
        """Number and unit, as in an answer."""
        return {"Value": self.number, "Unit": self.unit}

    def measurement(self, name: str) -> Measurement:
        """The number as an entry of a report; values of one segment are one group.

        :param name: what ``process`` calls it.
        """
        concept = self.concept
        if concept is None:
            concept = codes.SCT.Volume if self.unit in _VOLUMES else Code(name, _OWN_SCHEME, name[:64])
        of = name if self.segment is None else self.segment.label or f"Segment {self.segment.number}"
        return Measurement(of, concept, self.number, self.unit, segment=self.segment)


def checked_outputs(pipeline: str, outputs: Mapping[str, Output]) -> None:
    """Check the outputs of a pipeline.

    :raises BlueprintError: a name cannot be used, a value is not an Output, or there are too many to tell apart.
    """
    for name, output in outputs.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name == VALUES:
            raise BlueprintError(
                f"{pipeline} has an output named {name!r}",
                remedy=f"use letters, digits, '_', '.' and '-', not {VALUES!r}, which is what numbers are returned by",
            )
        if not isinstance(output, Output):
            raise BlueprintError(
                f"the output {name!r} of {pipeline} is a {type(output).__name__}", remedy="make it an Output(...)"
            )
        if not isinstance(output.factory, DicomFactory):
            raise BlueprintError(
                f"the factory of output {name!r} of {pipeline} is {output.factory!r}",
                remedy="give an object of a factory, such as SegmentationFactory()",
            )
    if len(outputs) > MOST_OUTPUTS:
        raise BlueprintError(f"{pipeline} has {len(outputs)} outputs; at most {MOST_OUTPUTS} are allowed")


def values_of(numbers: object, what: str) -> dict[str, Value]:
    """The numbers of a result. :raises UserCodeError: one is not a finite number, or its unit is not in UCUM."""
    if numbers is None:
        return {}
    if not isinstance(numbers, Mapping):
        raise UserCodeError(
            f"{what} returned {VALUES} that are a {type(numbers).__name__}",
            remedy=f'return {{..., "{VALUES}": {{"liver": Value(1432.1, "ml")}}}}',
        )
    return {str(name): _value(str(name), value, what) for name, value in numbers.items()}


def _value(name: str, result: Any, what: str) -> Value:
    value = result if isinstance(result, Value) else Value(result)
    number, unit = value.number, value.unit
    try:
        number = number.item() if hasattr(number, "item") else number  # of numpy
        is_finite = not isinstance(number, str) and math.isfinite(number)
    except (TypeError, ValueError, OverflowError):
        is_finite = False
    if not is_finite:
        raise UserCodeError(
            f"{what} returned {result!r} as the value {name!r}",
            remedy="return a finite number, or leave the value out",
        )
    try:
        unit_code(unit)
        if value.concept is not None:
            snomed(value.concept)
    except BlueprintError as error:
        raise UserCodeError(f"the value {name!r} of {what}: {error.message}", remedy=error.remedy) from error
    return replace(value, number=number)
