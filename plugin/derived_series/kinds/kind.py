"""The declaration of a kind of object: what the standard requires of its SOP classes, and how it is requested."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from derived_series.kinds.file_types import FileType

#: What an object is made from: any image, labels, floats, whole numbers, or the bytes of a file that is not an image.
MadeFrom = Literal["Image", "Labels", "Floats", "Whole numbers", "File"]


@dataclass(frozen=True, slots=True)
class PixelRules:
    """What a SOP class requires of its pixels.

    :param bits: the allowed values of BitsAllocated, ascending.
    :param rescale_always: RescaleSlope and RescaleIntercept are type 1.
    :param zero_intercept: RescaleIntercept is 0 (PET, PS3.3 C.8.9.4.1.1).
    :param of_parent: values are in the parent's stored units, whole numbers of no more bits than the class allows.
    """

    bits: tuple[int, ...] = (8, 16)
    rescale_always: bool = False
    zero_intercept: bool = False
    of_parent: bool = False


@dataclass(frozen=True, slots=True)
class SopClass:
    """One SOP class: a row of the table of all classes that the project knows.

    The defaults describe an ordinary image, and so a class without a row.

    :param uid: of PS3.6, :param name: its name there.
    :param modality: the Modality of all instances; empty if it may vary.
    :param copies_acquisition: the attributes of the parent's acquisition are copied, so its Modality must be the same.
    :param pixels: how images are stored.
    :param colour: an image may be RGB.
    :param single_instance: all slices are in one instance, which the kind's builder makes.
    :param single_frame: an instance is one slice; :param multi_frame: it has frames, even if only one.
    :param classic: UID of the class of single-frame images of the same modality, which the frames become.
    :param labels: values are labels, which are never interpolated.
    :param in_hounsfield: values are in HU, with water at 0.
    :param placed: an image always has a place in space.
    :param has_patient_position: PatientPosition is wanted (PS3.3 C.7.3.1, type 2C).
    :param module: a module of ``dicom/modules``, whose ``required_blueprint`` has what the IOD requires; empty if a
        builder or a blueprint provides it.
    :param called: what messages call an image, such as "an MR image"; empty if any values are plausible.
    :param largest: the largest possible value.
    :param of_one_parent: each instance is made from one stored instance of the parent, frame by frame, and has its
        class.
    :param of_one_frame: for a class of several frames, the UID of the class of a single-frame image.
    :param written_in: keyword of the transfer syntax that is used when none is requested; empty for uncompressed.
    :param instead: the blueprint to use instead, for a class that a derived image cannot have.
    """

    uid: str
    name: str
    modality: str = ""
    copies_acquisition: bool = False
    pixels: PixelRules = PixelRules()
    colour: bool = False
    single_instance: bool = False
    single_frame: bool = False
    multi_frame: bool = False
    classic: str = ""
    labels: bool = False
    in_hounsfield: bool = False
    placed: bool = True
    has_patient_position: bool = False
    module: str = ""
    called: str = ""
    largest: float | None = None
    of_one_parent: bool = False
    of_one_frame: str = ""
    written_in: str = ""
    instead: str = ""

    @property
    def takes_nothing_unnamed(self) -> bool:
        """Whether an object has attributes of its own, so that it takes only those tags that a blueprint names."""
        return self.single_instance and not self.copies_acquisition


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A key of a request that only some kinds take.

    :param name: the key in JSON; :param keyword: the attribute that it sets.
    :param module: a module of ``dicom/modules``, whose ``elements_of_request`` makes a blueprint of the key's value.
    :param form: the value's type as pydantic has it; if it allows None, null means that the key is absent.
    """

    name: str
    keyword: str
    module: str
    form: Any = field(compare=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object that the project makes.

    :param blueprint: the ready blueprint, a file of the folder ``blueprints``.
    :param factory: the name of the factory of this kind; several kinds may share one.
    :param sop_classes: the class, or several from which the image decides.
    :param description: one line for the lists and the documents.
    :param builder: module of ``dicom/objects`` that makes the instances; empty for classic images, one file a slice.
    :param made_from: what its factory takes.
    :param files: the types of files that hold it, for a kind that is made from a file other than an image.
    :param keys: the request keys that only this kind has.
    :param shows_parent: the parent's pixels are in it, whatever image it is made from.
    :param sign: keyword of the attribute that tells the kind, when a blueprint has it, from others of its SOP class.
    """

    blueprint: str
    factory: str
    sop_classes: tuple[SopClass, ...]
    description: str
    builder: str = ""
    made_from: MadeFrom = "Image"
    files: tuple[FileType, ...] = ()
    keys: tuple[RequestKey, ...] = ()
    shows_parent: bool = False
    sign: str = ""
