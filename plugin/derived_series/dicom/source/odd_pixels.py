"""What is odd about a parent's pixels (PS3.3 C.7.6.3) and their rescale (C.11.1), on which the values depend."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from derived_series.dicom.encoding.tags import describe, to_tag
from derived_series.dicom.source.instances import telling
from derived_series.kinds import sop_class

_BITS = ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
#: With what is taken where they are missing.
_TAKEN = {"RescaleSlope": 1, "RescaleIntercept": 0}


def odd_pixels(instances: Sequence[Dataset], varying: frozenset[int]) -> list[str]:
    """Warn of slopes that would make one value of all, of a rescale that is missing, and of bits that cannot be.

    A class that asks for a rescale has one in all instances; of others either all have it or none.

    :param varying: the tags that not all instances have with the same value.
    """
    compared = telling(instances, varying, *_BITS)
    bits = dict.fromkeys(warning for instance in compared for warning in _odd_bits(instance))
    missing = (warning for keyword in _TAKEN for warning in _missing(instances, varying, keyword))
    return [*_flat(instances, varying), *missing, *bits]


def _odd_bits(instance: Dataset) -> list[str]:
    """Values that do not go together; nothing where they are not numbers, which is an error where pixels are read."""
    allocated, stored = instance.get("BitsAllocated"), instance.get("BitsStored")
    if not isinstance(allocated, int) or not isinstance(stored, int):
        return []  # of floats
    odd, high = [], instance.get("HighBit")
    if not 0 < stored <= allocated:
        odd.append(
            f"{describe(to_tag('BitsStored'))} of the parent series is {stored}, of {allocated} that are allocated: "
            "all of them were taken"
        )
    elif isinstance(high, int) and not stored - 1 <= high < allocated:
        odd.append(
            f"{describe(to_tag('HighBit'))} of the parent series is {high}, with {stored} bits of {allocated}: it was "
            f"taken as {stored - 1}"
        )
    if instance.get("PixelRepresentation") is None:
        odd.append(
            f"the parent series has no {describe(to_tag('PixelRepresentation'))}: its values were taken as unsigned"
        )
    return odd


def _flat(instances: Sequence[Dataset], varying: frozenset[int]) -> list[str]:
    tag = to_tag("RescaleSlope")
    slopes = [dataset.get("RescaleSlope") for dataset in telling(instances, varying, tag)]
    if not any(isinstance(slope, (int, float)) and slope == 0 for slope in slopes):
        return []
    return [f"{describe(tag)} of the parent series is 0: it was taken as 1"]


def _missing(instances: Sequence[Dataset], varying: frozenset[int], keyword: str) -> list[str]:
    compared = telling(instances, varying, keyword)
    lacking = [
        dataset for dataset in compared if dataset.get(keyword) is None and not dataset.get("ModalityLUTSequence")
    ]
    pixels = sop_class(str(instances[0].get("SOPClassUID"))).pixels
    asked_for = pixels.rescale_always and not pixels.of_parent
    if not lacking or (len(lacking) == len(compared) and not asked_for):
        return []
    where = "" if len(lacking) == len(compared) else f"{len(lacking)} of the {len(instances)} instances of "
    return [
        f"{where}the parent series {'have' if where else 'has'} no {describe(to_tag(keyword))}: "
        f"it was taken as {_TAKEN[keyword]}"
    ]
