"""File meta information (PS3.10 7.1) that disagrees with its dataset: the dataset counts, with a warning."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from derived_series.dicom.source.pixels import are_mislabelled, transfer_syntax

_COPIES = (
    (Tag("MediaStorageSOPClassUID"), Tag("SOPClassUID")),
    (Tag("MediaStorageSOPInstanceUID"), Tag("SOPInstanceUID")),
)


def disagreements(instances: list[Dataset]) -> tuple[str, ...]:
    """Warn of each way in which instances disagree with their file meta information."""
    warnings = []
    others = sum(map(_is_of_another, instances))
    if others:
        warnings.append(
            f"the file meta information of {others} of the parent's {len(instances)} instances is of another "
            "instance or class (0002,0002; 0002,0003): the datasets count"
        )
    mislabelled = [dataset for dataset in instances if are_mislabelled(dataset)]
    if mislabelled:
        syntax = transfer_syntax(mislabelled[0])
        warnings.append(
            f"the file meta information of {len(mislabelled)} of the parent's {len(instances)} instances says that the "
            f"pixels are compressed ({'' if syntax is None else syntax.name}), but they are not: they are read so"
        )
    return tuple(warnings)


def _is_of_another(dataset: Dataset) -> bool:
    meta = getattr(dataset, "file_meta", None)
    if meta is None:
        return False
    return any(_uid(meta, copy) not in ("", _uid(dataset, keyword)) for copy, keyword in _COPIES)


def _uid(dataset: Dataset, tag: BaseTag) -> str:
    """A UID without pydicom's conversion, which would be slow here."""
    element = dataset.get_item(tag)
    value = None if element is None else element.value
    return value.rstrip(b"\0 ").decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
