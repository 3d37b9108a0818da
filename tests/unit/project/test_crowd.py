"""The crowd of benchmarks/bench_crowd.py: instances that Orthanc tells apart."""

from __future__ import annotations

from bench_crowd import INSTANCES, template
from bench_crowd import files as files_of
from phantoms import decoded


def test_the_instances_of_a_crowd_are_those_of_studies_of_patients_of_their_own() -> None:
    datasets = [decoded(content) for study in (0, 1, 999) for content in files_of(template(), study)]
    assert len(datasets) == 3 * INSTANCES
    for keyword, count in (
        ("PatientID", 3),
        ("StudyInstanceUID", 3),
        ("SeriesInstanceUID", 3),
        ("SOPInstanceUID", 3 * INSTANCES),
        ("InstanceNumber", INSTANCES),
    ):
        assert len({str(dataset[keyword].value) for dataset in datasets}) == count, keyword
    assert all(dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID for dataset in datasets)
