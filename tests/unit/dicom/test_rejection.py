"""The note that instances are rejected: it can be written for whatever a parent holds."""

from __future__ import annotations

from datetime import datetime

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dciodvfy import errors
from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.objects.rejection_note import Rejection, encoded, rejection_note
from derived_series.errors import InvalidRequest
from derived_series.jobs.requests.verdict import REASONS, ReviewRequest, reason_of
from phantoms import ct_phantom, decoded

QUALITY = codes.DCM.RejectedForQualityReasons


def noted(instance: Dataset, user: str = "Eva", text: str | None = None) -> Dataset:
    rejection = Rejection(QUALITY, codes.DCM.SoftwareFailure, user, text)
    return decoded(encoded(rejection_note(instance, ["1.2.3", "1.2.4"], rejection, BuildContext(datetime.now(), "x"))))


def test_patient_and_study_are_copied_whatever_they_hold() -> None:
    (instance,) = ct_phantom(slices=1)
    instance.PatientSex = "X"  # not a defined term
    instance.StudyTime = ""
    instance.OtherPatientNames = "Nobody"
    instance.PatientIdentityRemoved = "YES"
    del instance.StudyID, instance.SeriesNumber, instance.AccessionNumber
    note = noted(instance)
    for name in ("PatientSex", "StudyTime", "OtherPatientNames", "PatientIdentityRemoved", "PatientName"):
        assert note[name].value == instance[name].value, name
    assert note.StudyID == note.AccessionNumber == "", "type 2: there, and empty"
    assert note.SeriesNumber == 1000
    assert note.StudyInstanceUID == instance.StudyInstanceUID
    assert note.SeriesInstanceUID != instance.SeriesInstanceUID


@pytest.mark.parametrize(("charset", "user", "text", "expected"), [
    (None, "Eva", "ours", None),
    (None, "Müller^Eva", "ours", "ISO_IR 192"),
    ("ISO_IR 100", "Müller^Eva", "schön", "ISO_IR 100"),
    ("ISO_IR 100", "山田^太郎", "schön", "ISO_IR 192"),
    ("ISO_IR 100", "Müller^Eva", "山", "ISO_IR 192"),
])  # fmt: skip
def test_names_of_any_script_come_back(charset: str | None, user: str, text: str, expected: str | None) -> None:
    (instance,) = ct_phantom(slices=1)
    if charset:
        instance.SpecificCharacterSet = charset
        instance.PatientName = "Søren^Åse"
    else:
        instance.pop("SpecificCharacterSet", None)
    note = noted(instance, user, text)
    assert note.get("SpecificCharacterSet") == expected
    assert note.PatientName == instance.PatientName
    assert [str(item.PersonName) for item in note.ContentSequence if item.ValueType == "PNAME"] == [user]
    assert [item.TextValue for item in note.ContentSequence if item.ValueType == "TEXT"] == [text]
    assert errors(note) == []


def test_no_attribute_of_a_key_object_is_ever_an_images() -> None:
    note = noted(ct_phantom(slices=1)[0])
    assert not {"PixelData", "Rows", "ImageType", "FrameOfReferenceUID", "SliceThickness"} & set(note.dir())


def test_every_reason_is_a_code_of_the_standard() -> None:
    known = {code.value: code for code in (getattr(codes.cid7011, name) for name in codes.cid7011.dir())}
    for reason in REASONS:
        if reason.name == "PatientSafety":
            code = codes.DCM.RejectedForPatientSafetyReasons
            assert reason.title == (code.value, code.meaning) and reason.code == code.value
        else:
            assert reason.meaning == known.pop(reason.code).meaning
            assert reason.title == (QUALITY.value, QUALITY.meaning)
        assert reason_of(reason.code) is reason_of(reason.name) is reason
    assert known == {}, "reasons of CID 7011 that are not offered"


@pytest.mark.parametrize("user", ["", " ", "a=b", "a\\b", "a\nb", "x" * 65])
def test_users_that_are_not_person_names_are_refused(user: str) -> None:
    with pytest.raises(InvalidRequest, match="User"):
        ReviewRequest.of({"Verdict": "Accept", "User": user})
