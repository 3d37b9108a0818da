"""Assigns series to the inputs of a pipeline, and checks that they go together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import Conflict, InvalidParent, InvalidRequest
from derived_series.pipelines.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class InputSeries:
    """The series of one derivation.

    :param parent_name: the input whose series is the parent.
    :param series: all series, by input name.
    :param copies: the same with instances of their own, which user code may change.
    """

    parent_name: str
    series: Mapping[str, ParentSeries]
    copies: Mapping[str, ParentSeries]

    @classmethod
    def of(cls, pipeline: Pipeline, series: Mapping[str, ParentSeries]) -> InputSeries:
        """The series of a pipeline, with new copies."""
        return cls(pipeline.parent_name(), series, {name: each.detached() for name, each in series.items()})

    @property
    def parent(self) -> ParentSeries:
        """The parent of the derived series."""
        return self.series[self.parent_name]

    @property
    def parent_copy(self) -> ParentSeries:
        """The copy of the parent."""
        return self.copies[self.parent_name]

    def header_on_copies(self, header: SeriesHeader) -> SeriesHeader:
        """A header over the copies, for user code."""
        return header.of(self.parent_copy, self.copies)


def series_of_inputs(pipeline: Pipeline, parents: Mapping[str, ParentSeries]) -> dict[str, ParentSeries]:
    """The series of each input, by the input's name.

    :param parents: by input name; with a single input the name does not matter.
    :raises InvalidRequest: a series is missing, its input does not exist, or the parent is also its own prior.
    :raises InvalidParent: a series lacks what its input requires.
    """
    names = list(pipeline.input)
    needed = {key for key, wanted in pipeline.input.items() if not wanted.optional}
    if len(names) == 1 and len(parents) == 1:
        by_name = {names[0]: next(iter(parents.values()))}
    else:
        by_name = {key: parents[key] for key in (*names, *parents) if key in parents}
    missing = [key for key in names if key in needed | {pipeline.parent_name()} and key not in by_name]
    if missing or not set(by_name) <= set(names):
        priors = [key for key in missing if pipeline.input[key].prior]
        searched = f"; no prior study here has a series that {' and '.join(map(repr, priors))} takes" if priors else ""
        raise InvalidRequest(
            f"pipeline {pipeline.pipeline_name()!r} has the inputs {', '.join(names)}; given are {', '.join(by_name)}"
            f"{searched}",
            remedy=f'name the other series: "Inputs": {{"{(missing or names)[-1]}": "<orthanc id of the series>"}}',
        )
    parent = by_name[pipeline.parent_name()].series_instance_uid
    for key, series in by_name.items():
        if pipeline.input[key].prior and series.series_instance_uid == parent and key != pipeline.parent_name():
            raise InvalidRequest(
                f"the prior input {key!r} of pipeline {pipeline.pipeline_name()!r} is the parent series itself",
                remedy="name a series of a prior study, or leave the input out",
            )
    for key, series in by_name.items():
        refusal = next(filter(None, map(pipeline.input[key].refusal, series.instances)), None)
        if refusal:
            raise InvalidParent(
                f"the input {key!r} of pipeline {pipeline.pipeline_name()!r} does not take the series: {refusal}",
                remedy="name a series that it takes, or another pipeline",
            )
    return by_name


def require_same_patient(parents: Mapping[str, ParentSeries], priors: Collection[str]) -> None:
    """Refuse parents of several patients or studies.

    :param priors: the names of inputs that may be of other studies of the patient.
    :raises Conflict: they are of several; the message names them.
    """
    for keyword in ("PatientID", "IssuerOfPatientID", "StudyInstanceUID"):
        of_study = keyword == "StudyInstanceUID"
        asked = {name: parent for name, parent in parents.items() if not (of_study and name in priors)}
        values = {name: str(parent.pivot.get(keyword) or "") for name, parent in asked.items()}
        if len(set(values.values())) > 1:
            by_input = ", ".join(f"{name}: {value!r}" for name, value in values.items())
            raise Conflict(
                f"the inputs are of several {keyword}s ({by_input})",
                remedy="all parents of a derivation are of one patient and one study",
            )
