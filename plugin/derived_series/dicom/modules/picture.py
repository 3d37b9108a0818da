"""Blueprints of pictures of labels: what is drawn, and the header of the result (PS3.3 C.8.6, C.24.2)."""

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
#: The most slices in one sheet.
_MOST_SLICES = 64
#: Modalities whose images have no text in their pixels unless they say so.
_WITHOUT_TEXT = ("CT", "MR", "PT")

Setting = bool | int | float


@dataclass(frozen=True, slots=True)
class Drawing:
    """The settings of a picture of labels.

    :param fill: the opacity of a label's colour, from 0 (outlines only) to 1.
    :param legend: whether to name the labels and the slice.
    :param note: whether to write that it is derived and not for diagnosis.
    :param patient: whether to write the patient's name, ID and birth date; BurnedInAnnotation is then YES.
    :param sheet: the number of slices side by side in one picture; 0 for one picture of each slice.
    :param summary: whether to draw one page of names, volumes and three planes instead of slices.
    """

    fill: float = 0.0
    legend: bool = True
    note: bool = False
    patient: bool = False
    sheet: int = 0
    summary: bool = False


#: The settings that callers can choose.
SETTINGS = ("fill", "legend", "note", "patient", "sheet")
_NAMES = frozenset(field.name for field in fields(Drawing))


class PictureElement(VirtualElement):
    """Says what is drawn; its tag is not written. Settings that it leaves open come from elements before it in a sum.

    :param settings: fields of ``Drawing`` by name.
    :raises BlueprintError: a setting is unknown or has a wrong value.
    """

    settings: tuple[tuple[str, Setting], ...]

    def __init__(self, settings: Mapping[str, Setting]):
        super().__init__(CARRIER)
        for name, value in settings.items():
            _check(name, value)
        self._set(settings=tuple(sorted(settings.items())))

    @property
    def drawing(self) -> Drawing:
        """All settings, with defaults for those that are left open."""
        return Drawing(**dict(self.settings))  # type: ignore[arg-type]

    def describe(self) -> str:
        return f"drawn into the pixels, {self.drawing}"

    def over(self, former: VirtualElement) -> VirtualElement:
        """This element with the former one's other settings."""
        if not isinstance(former, PictureElement):
            return self
        return PictureElement({**dict(former.settings), **dict(self.settings)})

    def at_header(self, env: SeriesEnvironment) -> Value:
        return ABSENT


def _check(name: str, value: Setting) -> None:
    """Check a setting. :raises BlueprintError: see ``PictureElement``."""
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
    """Make the elements for settings chosen by name.

    :param settings: those of ``picture``, spelled as in JSON or in Python.
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
    """Make the blueprint that says what is drawn, to add to overlay, summary, overlay_pdf or summary_pdf.

    Settings that are None stay as in the blueprint to which this is added.

    :param fill: the opacity of a label's colour, from 0 (outlines only) to 1.
    :param legend: whether to name the labels and the slice.
    :param note: whether to write "Derived, not for diagnosis".
    :param patient: whether to write the patient's name, ID and birth date; BurnedInAnnotation (0028,0301) is then YES.
    :param sheet: the number of slices side by side in one picture; 0 for one picture of each slice.
    :raises BlueprintError: a setting has a wrong value.
    """
    settings = {"fill": fill, "legend": legend, "note": note, "patient": patient, "sheet": sheet}
    return Blueprint([PictureElement({name: value for name, value in settings.items() if value is not None})])


def drawing_of(blueprint: object) -> Drawing | None:
    """The settings of a complete blueprint's picture; None if it draws nothing."""
    if not isinstance(blueprint, Blueprint) or CARRIER not in blueprint:
        return None
    element = blueprint[CARRIER]
    return element.drawing if isinstance(element, PictureElement) else None


class _BurnedInElement(VirtualElement):
    """BurnedInAnnotation: YES if the patient is named in the picture or in the parent's pixels.

    :param unknown: the value if the parent does not say it and may have text in its pixels.
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


#: CID 7203 has no code for drawings over an image.
_OVERLAY = (
    StaticElement("DerivationDescription", "ST", "Segments drawn over the images"),
    DiscardElement("DerivationCodeSequence"),
)
_SUMMARY = derivation("Summary of the segments: volumes, and three planes", "MultiplanarReformatting")

overlay_blueprint = _image({}, _OVERLAY).named("overlay")
"""SC Equipment and SC Image modules (PS3.3 C.8.6.1, C.8.6.2) for the parent's slices with labels drawn over them."""

summary_blueprint = _image({"summary": True, "fill": 0.35}, _SUMMARY).named("summary")
"""SC Equipment and SC Image modules (PS3.3 C.8.6.1, C.8.6.2) for one page of names, volumes and three planes."""

overlay_document_blueprint = _document({"sheet": 12}).named("overlay_document")
"""Encapsulated Document modules (PS3.3 C.24.1, C.24.2) for slices with labels drawn over them."""

summary_document_blueprint = _document({"summary": True, "fill": 0.35}).named("summary_document")
"""Encapsulated Document modules (PS3.3 C.24.1, C.24.2) for one page of names, volumes and three planes."""
