"""Rejection notes: Key Object Selection documents that reject instances (PS3.3 A.35.4, PS3.16 TID 2010; IHE IOCM)."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.encoding.times import as_date, as_datetime, as_time, in_zone, zone_of
from derived_series.dicom.modules.equipment import MANUFACTURER, MODEL, software_version
from derived_series.dicom.modules.patient import patient_blueprint, patient_study_blueprint
from derived_series.dicom.modules.study import general_study_blueprint
from derived_series.dicom.series.text import settle_dataset

_TITLE_MODIFIER = Code("113011", "DCM", "Document Title Modifier")
_OF_PATIENT_AND_STUDY = patient_blueprint + patient_study_blueprint + general_study_blueprint


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why instances are rejected and by whom.

    :param title: of CID 7010: 113001 "Rejected for Quality Reasons" or 113037 "Rejected for Patient Safety Reasons".
    :param modifier: the reason, of CID 7011; with 113001 only.
    :param user: the name of the person. :param text: what the person wrote.
    """

    title: Code
    modifier: Code | None
    user: str
    text: str | None = None


def rejection_note(instance: Dataset, uids: Iterable[str], rejection: Rejection, context: BuildContext) -> Dataset:
    """Make the document, in a new series of the rejected instances' study.

    :param instance: one of the rejected instances, which are all of one series; patient and study are read from it.
    :param uids: the SOPInstanceUIDs of all rejected instances, in the order in which the document names them.
    :param context: the time, UIDs and SeriesNumber of the document.
    """
    from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
    from highdicom.sr import (
        CodeContentItem,
        ObserverContext,
        PersonObserverIdentifyingAttributes,
        RelationshipTypeValues,
    )
    from pydicom.sr.codedict import codes

    evidence = [_reference(instance, uid) for uid in uids]
    person = ObserverContext(codes.DCM.Person, PersonObserverIdentifyingAttributes("of two^parts"))
    person[-1].PersonName = _person(rejection.user)  # highdicom warns of a name of one part, as users' names are
    content = KeyObjectSelection(rejection.title, evidence, person, description=rejection.text)
    if rejection.modifier is not None:
        relation = RelationshipTypeValues.HAS_CONCEPT_MOD
        content[0].ContentSequence.insert(0, CodeContentItem(_TITLE_MODIFIER, rejection.modifier, relation))
    note = KeyObjectSelectionDocument(
        evidence,
        content,
        series_instance_uid=context.uid("series"),
        series_number=context.series_number(_number(instance)),
        sop_instance_uid=context.uid("instance", 0),
        instance_number=1,
        manufacturer=MANUFACTURER,
        series_description=rejection.title.meaning,
    )
    note.ContinuityOfContent = "SEPARATE"  # a list, not a text
    note.ManufacturerModelName = MODEL
    note.SoftwareVersions = software_version()
    for entry in _OF_PATIENT_AND_STUDY.entries():
        tag = entry.element.tag
        if tag in instance:
            note[tag] = copy.deepcopy(instance[tag])
    now = in_zone(context.now, zone_of(instance))
    for name in ("Content", "InstanceCreation", "Series"):
        setattr(note, f"{name}Date", as_date(now))
        setattr(note, f"{name}Time", as_time(now))
    for item in note.get("ContributingEquipmentSequence") or ():
        item.ContributionDateTime = as_datetime(now)
    if "TimezoneOffsetFromUTC" in instance:
        note.TimezoneOffsetFromUTC = instance.TimezoneOffsetFromUTC
    settle_dataset(note, instance.get("SpecificCharacterSet"))
    return note


def encoded(note: Dataset) -> bytes:
    """Encode the document as a Part 10 file."""
    file = io.BytesIO()
    note.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _reference(instance: Dataset, uid: str) -> Dataset:
    """The attributes that a reference to an instance needs; patient and study are copied unchecked."""
    evidence = Dataset()
    evidence.SOPClassUID = instance.SOPClassUID
    evidence.SOPInstanceUID = uid
    evidence.SeriesInstanceUID = instance.SeriesInstanceUID
    evidence.StudyInstanceUID = instance.StudyInstanceUID
    for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(evidence, name, "")
    for name in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(evidence, name, "")
    if "Rows" in instance and "Columns" in instance:
        evidence.Rows, evidence.Columns = instance.Rows, instance.Columns
    return evidence


def _person(user: str) -> str:
    """A user's name as a PN (PS3.5 6.2); names from a directory have backslashes (``DOMAIN\\user``)."""
    return user.translate({ord("\\"): "/", ord("="): "-"})[:64]


def _number(instance: Dataset) -> int | None:
    number = instance.get("SeriesNumber")
    return None if number in (None, "") else int(number)
