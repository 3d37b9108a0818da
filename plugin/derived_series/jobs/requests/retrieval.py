"""RetrieveRequest: an input to search at another server and to retrieve if it is not here yet."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from derived_series.json_model import JsonModel

Keyword = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=1024)]

#: Keys about patients, which are not allowed: the request's path determines the patient.
_OF_THE_PATIENT = frozenset(
    {"PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "OtherPatientIDs"}
)


class RetrieveRequest(JsonModel):
    """The server and the query for an input.

    :ivar from_: the name of a DICOM modality or a server of the DICOMweb plugin in Orthanc's configuration.
    :ivar query: values by keyword, with ``*`` and ``?`` as in C-FIND (PS3.4 C.2.2.2.4); dates and times also as ranges
        (``20240101-20241231``).
    """

    from_: Annotated[str, Field(alias="From", min_length=1, max_length=128)]
    query: Annotated[dict[Keyword, Text], Field(max_length=16)] = {}

    @field_validator("query")
    @classmethod
    def _of_the_same_patient(cls, query: dict[str, str]) -> dict[str, str]:
        if taken := sorted(_OF_THE_PATIENT.intersection(query)):
            raise ValueError(f"leave out {', '.join(taken)}: the patient is the one of the parent")
        return query
