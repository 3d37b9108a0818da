"""General Study module (PS3.3 C.7.2.1): the parent's."""

from __future__ import annotations

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import CopyElement
from derived_series.dicom.modules.element_lists import copies, copies_or_empty

general_study_blueprint = Blueprint(
    [
        CopyElement("StudyInstanceUID"),
        *copies_or_empty("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"),
        *copies(
            *("IssuerOfAccessionNumberSequence", "ReferringPhysicianIdentificationSequence"),
            *("StudyDescription", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy"),
            *("ProcedureCodeSequence", "ReasonForPerformedProcedureCodeSequence", "ReferencedStudySequence"),
        ),
    ]
).named("general_study")
"""General Study module (PS3.3 C.7.2.1): the parent's."""
