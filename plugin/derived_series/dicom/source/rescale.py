"""What is odd about the rescale of a parent's pixels (PS3.3 C.11.1): told, since the values depend on it."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from derived_series.dicom.encoding.tags import describe, to_tag
from derived_series.kinds import sop_class

#: With what is taken where they are missing.
_TAKEN = {"RescaleSlope": 1, "RescaleIntercept": 0}


def odd_rescale(instances: Sequence[Dataset], varying: frozenset[int]) -> list[str]:
    """Warnings of slopes that would make one value of all, and of what is missing.

    A class that asks for a rescale has one in all instances; of others either all have it or none.

    :param varying: the tags that not all instances have with the same value.
    """
    return [*_flat(instances, varying), *(w for keyword in _TAKEN for w in _missing(instances, varying, keyword))]


def _flat(instances: Sequence[Dataset], varying: frozenset[int]) -> list[str]:
    tag = to_tag("RescaleSlope")
    slopes = [dataset.get("RescaleSlope") for dataset in (instances if int(tag) in varying else instances[:1])]
    if not any(isinstance(slope, (int, float)) and slope == 0 for slope in slopes):
        return []
    return [f"{describe(tag)} of the parent series is 0: it was taken as 1"]


def _missing(instances: Sequence[Dataset], varying: frozenset[int], keyword: str) -> list[str]:
    compared = instances if int(to_tag(keyword)) in varying else instances[:1]
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
