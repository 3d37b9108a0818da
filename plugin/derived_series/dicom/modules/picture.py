"""What is drawn into a picture of labels, and what such a picture says of itself (PS3.3 C.8.6, C.24.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import ABSENT, DiscardElement, StaticElement, Value, VirtualElement
from derived_series.dicom.blueprints.environment import ImageEnvironment, SeriesEnvironment
from derived_series.dicom.blueprints.function_elements import HeaderElement
from derived_series.dicom.modules.derivation import derivation
from derived_series.dicom.modules.encapsulated_pdf import encapsulated_document_blueprint
from derived_series.dicom.modules.secondary_capture import secondary_capture_blueprint
from derived_series.errors import BlueprintError

#: The attribute that a graphic over an image would be; here it is in the pixels, and the attribute is not written.
CARRIER = "GraphicAnnotationSequence"
#: So many slices are in one sheet at most.
_MOST_SLICES = 64
#: Modalities whose images have no text in their pixels, unless they say so.
_WITHOUT_TEXT = ("CT", "MR", "PT")

Setting = bool | int | float


@dataclass(frozen=True, slots=True)
class Drawing:
    """How labels are drawn.

    :param fill: how much of its colour is in a label, from 0 (outlines alone) to 1.
    :param legend: name the labels, and say which slice it is.
    :param note: say that it is derived and not for diagnosis.
    :param patient: write the patient's name, ID and birth date: BurnedInAnnotation is YES then.
    :param sheet: so many slices side by side in one picture; 0 makes a picture of each slice.
    :param summary: one page of names, volumes and three planes, in place of slices.
    """

    fill: float = 0.0
    legend: bool = True
    note: bool = False
    patient: bool = False
    sheet: int = 0
    summary: bool = False


#: The settings that a caller may choose.
SETTINGS = ("fill", "legend", "note", "patient", "sheet")
_NAMES = frozenset(field.name for field in fields(Drawing))


class PictureElement(VirtualElement):
    """What is drawn; the tag itself is not written. What it leaves open an element before it in the sum says.

    :param settings: fields of ``Drawing`` by name.
    :raises BlueprintError: settings that there are not, or values that they cannot have.
    """

    settings: tuple[tuple[str, Setting], ...]

    def __init__(self, settings: Mapping[str, Setting]):
        super().__init__(CARRIER)
        for name, value in settings.items():
            _check(name, value)
        self._set(settings=tuple(sorted(settings.items())))

    @property
    def drawing(self) -> Drawing:
        """What is drawn, with the defaults of what is not said."""
        return Drawing(**dict(self.settings))  # type: ignore[arg-type]

    def describe(self) -> str:
        return f"drawn into the pixels, {self.drawing}"

    def over(self, former: VirtualElement) -> VirtualElement:
        """With what the former one says of other settings."""
        if not isinstance(former, PictureElement):
            return self
        return PictureElement({**dict(former.settings), **dict(self.settings)})

    def at_header(self, env: SeriesEnvironment) -> Value:
        return ABSENT


def _check(name: str, value: Setting) -> None:
    """:raises BlueprintError: see ``PictureElement``."""
    if name not in _NAMES:
        raise BlueprintError(f"a picture has no setting {name!r}", remedy=f"its settings are {', '.join(SETTINGS)}")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "fill":
        fits, wanted = is_number and 0 <= value <= 1, "a number from 0 to 1"
    elif name == "sheet":
        fits = is_number and isinstance(value, int) and 0 <= value <= _MOST_SLICES
        wanted = f"a number of slices from 1 to {_MOST_SLICES}, or 0 for a picture of each"
    else:
        fits, wanted = isinstance(value, bool), "true or false"
    if not fits:
        raise BlueprintError(f"the setting {name} of a picture cannot be {value!r}", remedy=f"give {wanted}")


def elements_of_request(settings: Mapping[str, Setting]) -> Blueprint:
    """The elements of settings that somebody chooses by name.

    :param settings: those of ``picture``, in JSON's case or in Python's.
    """
    return Blueprint([PictureElement({name.lower(): value for name, value in settings.items()})])


def picture(
    *,
    fill: float | None = None,
    legend: bool | None = None,
    note: bool | None = None,
    patient: bool | None = None,
    sheet: int | None = None,
) -> Blueprint:
    """The blueprint that says what is drawn, for the blueprints overlay, summary, overlay_pdf and summary_pdf.

    What is None stays as the blueprint has it that this is added to.

    :param fill: how much of its colour is in a label, from 0 (outlines alone) to 1.
    :param legend: name the labels, and say which slice it is.
    :param note: write "Derived, not for diagnosis".
    :param patient: write the patient's name, ID and birth date; BurnedInAnnotation (0028,0301) is YES then.
    :param sheet: so many slices side by side in one picture; 0 makes a picture of each slice.
    :raises BlueprintError: values that these cannot have.
    """
    settings = {"fill": fill, "legend": legend, "note": note, "patient": patient, "sheet": sheet}
    return Blueprint([PictureElement({name: value for name, value in settings.items() if value is not None})])


def drawing_of(blueprint: object) -> Drawing | None:
    """What a complete blueprint has drawn; None for one that draws nothing."""
    if not isinstance(blueprint, Blueprint) or CARRIER not in blueprint:
        return None
    element = blueprint[CARRIER]
    return element.drawing if isinstance(element, PictureElement) else None


class _BurnedInElement(VirtualElement):
    """BurnedInAnnotation: YES for what is written of the patient, or is in the parent's pixels.

    :param unknown: where the parent does not say it, and may have text in its pixels.
    """

    unknown: str | None

    def __init__(self, unknown: str | None):
        super().__init__("BurnedInAnnotation")
        self._set(unknown=unknown)

    def at_image(self, env: ImageEnvironment) -> Value:
        drawing = drawing_of(env.header.blueprint) if env.header is not None else None
        parents = str(env.parent.pivot.get("BurnedInAnnotation") or "")
        if (drawing is not None and drawing.patient) or parents == "YES":
            return "YES"
        if parents == "NO" or env.parent.modality in _WITHOUT_TEXT:
            return "NO"
        return ABSENT if self.unknown is None else self.unknown


def _title(env: SeriesEnvironment) -> str:
    return f"Segments of series {env.pivot.get('SeriesNumber') or env.parent.series_instance_uid}"


def _image(settings: Mapping[str, Setting], further: Iterable[VirtualElement]) -> Blueprint:
    elements = [PictureElement(settings), StaticElement("ImageType", "CS", ["DERIVED", "SECONDARY"])]
    return secondary_capture_blueprint + Blueprint([*elements, _BurnedInElement(None), *further])


def _document(settings: Mapping[str, Setting]) -> Blueprint:
    return encapsulated_document_blueprint + Blueprint(
        [PictureElement(settings), _BurnedInElement("YES"), HeaderElement("DocumentTitle", _title)]
    )


#: CID 7203 has no code for what is drawn over an image.
_OVERLAY = (
    StaticElement("DerivationDescription", "ST", "Segments drawn over the images"),
    DiscardElement("DerivationCodeSequence"),
)
_SUMMARY = derivation("Summary of the segments: volumes, and three planes", "MultiplanarReformatting")

overlay_blueprint = _image({}, _OVERLAY).named("overlay")
"""SC Equipment and SC Image modules (PS3.3 C.8.6.1, C.8.6.2) of the parent's slices with labels drawn over them."""

summary_blueprint = _image({"summary": True, "fill": 0.35}, _SUMMARY).named("summary")
"""SC Equipment and SC Image modules (PS3.3 C.8.6.1, C.8.6.2) of one page of names, volumes and three planes."""

overlay_document_blueprint = _document({"sheet": 12}).named("overlay_document")
"""Encapsulated Document modules (PS3.3 C.24.1, C.24.2) of slices with labels drawn over them."""

summary_document_blueprint = _document({"summary": True, "fill": 0.35}).named("summary_document")
"""Encapsulated Document modules (PS3.3 C.24.1, C.24.2) of one page of names, volumes and three planes."""
