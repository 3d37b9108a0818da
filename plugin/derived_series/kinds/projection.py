"""Projection images and ultrasound: each derived image is of its parent image's own class, in its stored units."""

from __future__ import annotations

from derived_series.kinds.kind import Kind, PixelRules, SopClass

_BUILDER = "projection"


def _row(
    uid: str,
    name: str,
    modality: str,
    called: str,
    pixels: PixelRules,
    *,
    frames: bool = False,
    module: str = "",
    of_one_frame: str = "",
) -> SopClass:
    """A row for a class whose images are each made from one stored parent image.

    :param frames: an instance may have several frames and keeps its class.
    """
    return SopClass(
        uid=uid,
        name=name,
        modality=modality,
        copies_acquisition=True,
        pixels=pixels,
        colour=modality == "US",
        classic=uid if frames else "",
        multi_frame=frames,
        placed=False,
        module=module or modality.lower(),
        called=called,
        of_one_parent=True,
        of_one_frame=of_one_frame,
    )


_WHOLE = PixelRules(of_parent=True)
#: The rescale is 1 and 0, always (PS3.3 C.8.11.3).
_IDENTITY = PixelRules(rescale_always=True, of_parent=True)
_BYTES = PixelRules(bits=(8,), of_parent=True)

CR_IMAGE = _row("1.2.840.10008.5.1.4.1.1.1", "Computed Radiography Image Storage", "CR", "a radiograph", _WHOLE)
DX_FOR_PRESENTATION = _row(
    "1.2.840.10008.5.1.4.1.1.1.1",
    "Digital X-Ray Image Storage - For Presentation",
    "DX",
    "a radiograph",
    _IDENTITY,
)
DX_FOR_PROCESSING = _row(
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    "Digital X-Ray Image Storage - For Processing",
    "DX",
    "a radiograph",
    _IDENTITY,
)
MG_FOR_PRESENTATION = _row(
    "1.2.840.10008.5.1.4.1.1.1.2",
    "Digital Mammography X-Ray Image Storage - For Presentation",
    "MG",
    "a mammogram",
    _IDENTITY,
)
MG_FOR_PROCESSING = _row(
    "1.2.840.10008.5.1.4.1.1.1.2.1",
    "Digital Mammography X-Ray Image Storage - For Processing",
    "MG",
    "a mammogram",
    _IDENTITY,
)
US_IMAGE = _row("1.2.840.10008.5.1.4.1.1.6.1", "Ultrasound Image Storage", "US", "an ultrasound image", _BYTES)
US_MULTI_FRAME = _row(
    "1.2.840.10008.5.1.4.1.1.3.1",
    "Ultrasound Multi-frame Image Storage",
    "US",
    "an ultrasound image",
    _BYTES,
    frames=True,
    of_one_frame=US_IMAGE.uid,
)
XA_IMAGE = _row(
    "1.2.840.10008.5.1.4.1.1.12.1",
    "X-Ray Angiographic Image Storage",
    "XA",
    "an angiogram",
    _WHOLE,
    frames=True,
)
RF_IMAGE = _row(
    "1.2.840.10008.5.1.4.1.1.12.2",
    "X-Ray Radiofluoroscopic Image Storage",
    "RF",
    "a fluoroscopic image",
    _WHOLE,
    frames=True,
    module="xa",
)

KINDS = (
    Kind("cr", "cr", (CR_IMAGE,), "Computed Radiography images, each from its own parent image", builder=_BUILDER),
    Kind(
        "dx",
        "dx",
        (DX_FOR_PRESENTATION, DX_FOR_PROCESSING),
        "Digital X-Ray images, for presentation or for processing as their parent is",
        builder=_BUILDER,
    ),
    Kind(
        "mg",
        "mg",
        (MG_FOR_PRESENTATION, MG_FOR_PROCESSING),
        "Digital Mammography images, for presentation or for processing; laterality and view are the parent image's",
        builder=_BUILDER,
    ),
    Kind(
        "us",
        "us",
        (US_IMAGE, US_MULTI_FRAME),
        "Ultrasound images, single or multi-frame as their parent is, in grey or RGB",
        builder=_BUILDER,
    ),
    Kind(
        "xa",
        "xa",
        (XA_IMAGE, RF_IMAGE),
        "X-Ray Angiographic and Radiofluoroscopic images, single or multi-frame as their parent is",
        builder=_BUILDER,
    ),
)
