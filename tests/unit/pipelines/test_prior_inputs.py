"""Inputs of prior studies, and inputs that a derivation may lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from building import LIBRARY, parent_of, volume, written
from dciodvfy import new_errors
from derived_series import BuildContext, ParentSeries, derivation
from derived_series.errors import Conflict, InvalidRequest
from derived_series.pipelines import Input, Library, Pipeline
from derived_series.pipelines.library import NamedPipeline
from derived_series.pipelines.run import Options, Results, run_outputs
from phantoms import ct_phantom

DATASETS = ct_phantom(4, 6, 5)
NOW = parent_of(DATASETS)
BEFORE_DATASETS = ct_phantom(4, 6, 5, study="before", series="before")
BEFORE = parent_of(BEFORE_DATASETS)


class Prior(Input):
    prior = True


class Extra(Input):
    optional = True


class Difference(Pipeline):
    """What changed since the prior study."""

    input = {"now": Input, "before": Prior, "extra": Extra}
    parent_input = "now"
    kind = "ct"

    def blueprint_for(self, parent: Any, parameters: Any, blueprints: Any) -> Any:
        return blueprints[self.kind] + derivation("Difference to the prior", "PixelByPixelSubtraction")

    def process(self, container: Any) -> Any:
        assert ("extra" in container) == ("extra" in container.parents)
        return container["now"].voxels() - container["before"].voxels()


def run(parents: dict[str, ParentSeries], kind: str = "ct") -> Results:
    pipeline = type("Mine", (Difference,), {"kind": kind})
    named = NamedPipeline("mine", pipeline, "", Path("mine.py"), "")
    library = Library(LIBRARY.blueprints, {"mine": named}, LIBRARY.factories, ())
    return run_outputs(library, "mine", parents, {}, Options(), BuildContext())


@pytest.mark.parametrize("kind", ["ct", "legacy_enhanced_ct", "parametric_map"])
def test_a_series_refers_to_the_prior_by_its_study(kind: str) -> None:
    series = run({"now": NOW, "before": BEFORE}, kind).series["result"]
    first = written(series)[0]
    assert first.StudyInstanceUID == NOW.study_instance_uid
    (referenced,) = first.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == NOW.series_instance_uid
    (study,) = first.StudiesContainingOtherReferencedInstancesSequence
    assert study.StudyInstanceUID == BEFORE.study_instance_uid
    (other,) = study.ReferencedSeriesSequence
    assert other.SeriesInstanceUID == BEFORE.series_instance_uid
    named = {item.ReferencedSOPInstanceUID for item in other.ReferencedInstanceSequence}
    assert named == {instance.SOPInstanceUID for instance in BEFORE.instances}
    assert new_errors(series.encode(0), [*DATASETS, *BEFORE_DATASETS]) == []
    if kind == "legacy_enhanced_ct":
        evidence = {item.StudyInstanceUID for item in first.SourceImageEvidenceSequence}
        assert evidence == {NOW.study_instance_uid, BEFORE.study_instance_uid}


def test_without_a_prior_nothing_refers_to_other_studies() -> None:
    series = run({"now": NOW, "before": parent_of(ct_phantom(4, 6, 5, series="same study"))}).series["result"]
    assert "StudiesContainingOtherReferencedInstancesSequence" not in written(series)[0]
    assert len(written(series)[0].ReferencedSeriesSequence) == 2


def test_an_optional_input_may_be_there_and_others_may_not_be_missing() -> None:
    extra = parent_of(ct_phantom(4, 6, 5, series="extra"))
    series = run({"now": NOW, "before": BEFORE, "extra": extra}).series["result"]
    assert np.array_equal(volume(series), NOW.voxels() - BEFORE.voxels())
    with pytest.raises(InvalidRequest, match="given are now; no prior study here has a series that 'before' takes"):
        run({"now": NOW})
    with pytest.raises(InvalidRequest, match="given are before"):
        run({"before": BEFORE})


def test_the_parent_is_not_its_own_prior() -> None:
    """The difference would be nought, and look like a finding."""
    with pytest.raises(InvalidRequest, match="'before' of pipeline 'mine' is the parent series itself"):
        run({"now": NOW, "before": NOW})


def test_only_an_input_that_asks_for_it_is_of_another_study_and_never_of_another_patient() -> None:
    with pytest.raises(Conflict, match="several StudyInstanceUIDs"):
        run({"now": NOW, "before": BEFORE, "extra": parent_of(ct_phantom(4, 6, 5, study="other", series="extra"))})
    with pytest.raises(Conflict, match="several PatientIDs"):
        run({"now": NOW, "before": parent_of(ct_phantom(4, 6, 5, patient_id="ANOTHER", study="x"))})
    foreign = ct_phantom(4, 6, 5, study="before", series="before")
    for dataset in foreign:
        dataset.IssuerOfPatientID = "ANOTHER CLINIC"
    with pytest.raises(Conflict, match="several IssuerOfPatientIDs"):
        run({"now": NOW, "before": parent_of(foreign)})
