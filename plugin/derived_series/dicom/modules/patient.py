"""Patient and Patient Study modules (PS3.3 C.7.1.1, C.7.2.2): the parent's."""

from __future__ import annotations

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.modules.element_lists import copies, copies_or_empty

patient_blueprint = Blueprint(
    copies_or_empty("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
    + copies(
        *("IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID"),
        *("OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames"),
        *("PatientBirthTime", "EthnicGroup", "PatientComments", "ReferencedPatientSequence"),
        *("PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientBreedDescription"),
        *("PatientBreedCodeSequence", "BreedRegistrationSequence", "ResponsiblePerson"),
        *("ResponsiblePersonRole", "ResponsibleOrganization", "StrainDescription", "QualityControlSubject"),
        # marks of de-identification are carried over
        *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
        "LongitudinalTemporalInformationModified",
    )
).named("patient")
"""Patient module (PS3.3 C.7.1.1): the parent's."""

patient_study_blueprint = Blueprint(
    copies(
        *("PatientAge", "PatientSize", "PatientWeight", "PatientSexNeutered", "Occupation", "SmokingStatus"),
        *("PregnancyStatus", "AdditionalPatientHistory", "AdmissionID", "IssuerOfAdmissionIDSequence"),
        *("PatientBodyMassIndex", "MeasuredAPDimension", "MeasuredLateralDimension"),
    )
).named("patient_study")
"""Patient Study module (PS3.3 C.7.2.2): the parent's age, size and weight."""
