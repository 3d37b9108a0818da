"""Checking values: against their VR (PS3.5 6.2), and against each other (PS3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID, PositronEmissionTomographyImageStorage

from derived_series.dicom.encoding.late_pixels import LatePixels
from derived_series.dicom.encoding.read_errors import reading
from derived_series.dicom.encoding.value_rules import text_of, texts_in, values_of, wrong_values
from derived_series.dicom.modules.codes import meaning_doubt
from derived_series.dicom.validation.finding import Finding, error, warning
from derived_series.kinds import sop_class

_BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN", "AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"))

#: The end of a warning about a fault that was only carried over.
THE_PARENTS = "the parent has it so"


@dataclass(frozen=True, eq=False)
class ParentValues:
    """The parent's values, to tell its faults from those of the derived series."""

    instances: Sequence[Dataset]

    def have(self, element: DataElement, text: str) -> bool:
        """Whether the parent has the same element, or the text anywhere.

        :param element: a top-level element of the derived series. :param text: the wrong value.
        """
        if text in self._texts or any(instance.get(element.tag) == element for instance in self.instances):
            return True
        return text in self._texts_of_all

    @cached_property
    def _texts(self) -> frozenset[str]:
        """All texts of the first instance, at any depth, and the UIDs and positions of all instances."""
        texts = {str(instance.get("SOPInstanceUID")) for instance in self.instances}
        for instance in self.instances:
            if "ImagePositionPatient" in instance:
                texts.update(map(text_of, values_of(instance["ImagePositionPatient"])))
        with reading("the parent's headers"):
            _collect(self.instances[0], texts)
        return frozenset(texts)

    @cached_property
    def _texts_of_all(self) -> frozenset[str]:
        """All texts of all instances, which takes long: it is asked last."""
        texts: set[str] = set()
        with reading("the parent's headers"):
            for instance in self.instances:
                _collect(instance, texts)
        return frozenset(texts)


def _collect(dataset: Dataset, texts: set[str]) -> None:
    for tag, read in list(dataset.items()):
        if read.VR in _BINARY or (isinstance(read, RawDataElement) and read.value is None):
            continue
        element = dataset[tag]
        if element.VR == "SQ":
            for item in element.value or ():
                _collect(item, texts)
        elif element.VR not in _BINARY:
            values = [text_of(value) for value in values_of(element)]
            texts.update(values, ["\\".join(values)])


def check_values(dataset: Dataset, parents: ParentValues, where: str) -> Iterator[Finding]:
    """Find values that their VR does not allow, at any depth; a warning if the parent has the same value."""
    for element in dataset:
        for tag, text, problem, place in _problems(element, where):
            if parents.have(element, text):
                yield warning(tag, f"{problem}; {THE_PARENTS}", place)
            else:
                yield error(tag, problem, place)


def _problems(element: DataElement, where: str) -> Iterator[tuple[int, str, str, str]]:
    """(tag, value, problem, place) for each wrong value in an element and, for a sequence, in its items."""
    if element.VR != "SQ":
        for text, problem in wrong_values(element):
            yield int(element.tag), text, problem, where
        return
    for number, item in enumerate(element.value):
        place = f"{element.keyword or element.tag}[{number}]"
        for inner in item:
            yield from _problems(inner, f"{where}, {place}" if where else place)


def check_codes(dataset: Dataset, parent: Dataset, where: str) -> Iterator[Finding]:
    """Warn of codes whose meaning belongs to another concept: the value counts, and one of them is a mistake.

    :param parent: an instance of the parent; codes copied from it are not checked.
    """
    for element in dataset:
        if element.VR == "SQ" and parent.get(element.tag) != element:
            yield from _other_meanings(element, where)


def _other_meanings(sequence: DataElement, where: str) -> Iterator[Finding]:
    """Warn about the codes of a sequence and of sequences inside it."""
    for number, item in enumerate(sequence.value or ()):
        place = f"{sequence.keyword or sequence.tag}[{number}]"
        place = f"{where}, {place}" if where else place
        code = [str(item.get(keyword, "")) for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")]
        doubt = meaning_doubt(*code) if all(code) else None
        if doubt is not None:
            yield warning(0, doubt, place)
        for element in item:
            if element.VR == "SQ":
                yield from _other_meanings(element, place)


def check_image(dataset: Dataset, parent: Dataset, where: str) -> Iterator[Finding]:
    """Check that the attributes of an instance agree with each other and with its SOP class.

    :param parent: an instance of the parent series.
    """
    uid = str(dataset.get("SOPClassUID", ""))
    wanted = sop_class(uid).modality
    if wanted and dataset.get("Modality") != wanted:
        parents = sop_class(uid).of_one_parent and dataset.get("Modality") == parent.get("Modality")
        text = f"is {dataset.get('Modality')!r}: a {UID(uid).name} is of {wanted}"
        yield warning(0x00080060, f"{text}; {THE_PARENTS}", where) if parents else error(0x00080060, text, where)
    kind = texts_in(dataset, "ImageType")
    if "Rows" in dataset and kind and kind[0] != "DERIVED":
        yield error(0x00080008, f"begins with {kind[0]!r}: a derived image is DERIVED", where)
    if uid == PositronEmissionTomographyImageStorage and len(kind) > 1 and kind[1] != "PRIMARY":
        yield error(0x00080008, f"has the value 2 {kind[1]!r}: of a PET image it is PRIMARY (C.8.9.4.1.3)", where)
    yield from _check_pixels(dataset, where)
    yield from _check_window(dataset, where)
    if "RescaleSlope" in dataset and not dataset["RescaleSlope"].is_empty and float(dataset.RescaleSlope) == 0:
        yield error(0x00281053, "is 0: all values would be one", where)
    if uid == PositronEmissionTomographyImageStorage and float(dataset.get("RescaleIntercept") or 0) != 0:
        yield error(0x00281052, f"is {dataset.RescaleIntercept}: of a PET image it is 0 (C.8.9.4.1.1)", where)
    if dataset.get("Units") == "GML" and "SUVType" not in dataset:
        yield warning(0x00541006, "is missing: Units are GML, and it says which SUV they are", where)


def _check_pixels(dataset: Dataset, where: str) -> Iterator[Finding]:
    if "BitsAllocated" not in dataset or any(
        not isinstance(dataset.get(keyword), int) for keyword in ("BitsAllocated", "BitsStored", "HighBit")
    ):
        return  # what is missing is reported elsewhere
    allocated, stored, high = int(dataset.BitsAllocated), int(dataset.BitsStored), int(dataset.HighBit)
    if allocated not in (1, 8, 16, 32, 64):
        yield error(0x00280100, f"is {allocated}: it is 1 or whole bytes", where)
    if not 0 < stored <= allocated:
        yield error(0x00280101, f"is {stored}, with {allocated} bits allocated", where)
    if high != stored - 1:
        yield error(0x00280102, f"is {high}, with {stored} bits stored it is {stored - 1}", where)
    if dataset.get("PixelRepresentation") not in (0, 1):
        yield error(0x00280103, f"is {dataset.get('PixelRepresentation')}: it is 0 or 1", where)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    monochrome = str(dataset.get("PhotometricInterpretation", "")) in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    if monochrome != (samples == 1):
        photometric = dataset.get("PhotometricInterpretation")
        yield error(0x00280004, f"is {photometric!r} with {samples} sample(s) a pixel", where)
    yield from _check_length(dataset, samples, allocated, where)


def _check_length(dataset: Dataset, samples: int, allocated: int, where: str) -> Iterator[Finding]:
    """Check the length of uncompressed pixels in the dataset."""
    meta = getattr(dataset, "file_meta", None)
    if "PixelData" not in dataset or (meta is not None and UID(meta.TransferSyntaxUID).is_encapsulated):
        return
    frames = int(dataset.get("NumberOfFrames") or 1)
    bits = int(dataset.get("Rows") or 0) * int(dataset.get("Columns") or 0) * frames * samples * allocated
    needed = (bits + 7) // 8
    pixels = dataset["PixelData"]
    length = pixels.size if isinstance(pixels, LatePixels) and pixels.is_late else len(pixels.value or b"")
    if length != needed + needed % 2:
        yield error(0x7FE00010, f"has {length} bytes; Rows, Columns and bits ask for {needed}", where)


def _check_window(dataset: Dataset, where: str) -> Iterator[Finding]:
    widths = numbers(dataset, "WindowWidth")
    exact = str(dataset.get("VOILUTFunction") or "LINEAR") != "LINEAR"
    if any(width <= 0 or (width < 1 and not exact) for width in widths):
        yield error(0x00281051, f"is {min(widths):g}: it is 1 or more, or VOILUTFunction is LINEAR_EXACT", where)


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """The values of a numeric attribute; empty if it is missing or empty."""
    if keyword not in dataset or dataset[keyword].is_empty:
        return []
    element = dataset[keyword]
    return [float(value) for value in (element.value if element.VM > 1 else [element.value])]
