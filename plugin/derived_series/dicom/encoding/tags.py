"""Tags: from int, keyword or pair to a pydicom tag, and back to text."""

from __future__ import annotations

from typing import TypeAlias

from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR, repeater_has_tag
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import STANDARD_VR

from derived_series.errors import BlueprintError

#: The value representations of PS3.5 6.2.
VRS = frozenset(vr.value for vr in STANDARD_VR)

TagLike: TypeAlias = int | str | tuple[int, int] | BaseTag

#: A tag and its private creator; of a tag of the standard the creator is empty.
Key: TypeAlias = tuple[int, str]


def to_tag(tag: TagLike) -> BaseTag:
    """The tag for an int (``0x00080016``), a keyword (``"SOPClassUID"``), a pair or a tag.

    :raises BlueprintError: it is none of these.
    """
    try:
        return Tag(tag)
    except (ValueError, TypeError, OverflowError) as error:
        raise BlueprintError(
            f"{tag!r} is not a DICOM tag",
            remedy='write 0x00100010, (0x0010, 0x0010) or the keyword "PatientName" (PS3.6)',
        ) from error


def dictionary_vr(tag: BaseTag) -> str | None:
    """The value representation in PS3.6; None for a tag that the dictionary does not have.

    Where the dictionary allows several ("US or SS", "OB or OW"), this is the first; pydicom settles those that depend
    on the pixels when it writes the instance.
    """
    if tag.is_private or not (dictionary_has_tag(tag) or repeater_has_tag(tag)):
        return "LO" if tag.is_private_creator else None
    return dictionary_VR(tag).split(" or ")[0]


def require_vr(tag: BaseTag, vr: str | None, what: str) -> str:
    """``vr``, or the dictionary's VR. :raises BlueprintError: there is neither."""
    known_vr = vr or dictionary_vr(tag)
    if known_vr is None:
        raise BlueprintError(
            f"{what} for {describe(tag)} has no VR and the dictionary knows none",
            remedy="give the VR as the second argument, for example 'LO'",
        )
    return known_vr


def keyword(tag: int) -> str:
    """The keyword in PS3.6; empty for private and unknown tags."""
    tag = BaseTag(tag)
    known = not tag.is_private and (dictionary_has_tag(tag) or repeater_has_tag(tag))
    return dictionary_keyword(tag) if known else ""


def number(tag: int) -> str:
    """A tag as text: ``(0010,0020)``."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def describe(tag: int) -> str:
    """A tag and its keyword as text: ``PatientID (0010,0020)``."""
    return f"{keyword(tag) or 'private'} {number(tag)}"
