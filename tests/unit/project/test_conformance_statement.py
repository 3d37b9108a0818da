"""docs/conformance.md says what the code does: its tables are those that scripts/conformance.py makes."""

from __future__ import annotations

import re

import pytest

from building import LIBRARY
from conformance import AUTHORIZATION, DOCUMENT, classes, objects, rows_of, tables, updated
from derived_series.kinds import KINDS

#: The table that tests/unit/dicom/test_kinds_matrix.py compares: it makes what is in it.
KINDS_AND_PARENTS = "kinds and parents"
COMMAND = "PYTHONPATH=plugin:tests .venv/bin/python scripts/conformance.py"


@pytest.mark.slow
def test_the_tables_are_those_of_the_code() -> None:
    texts = [document.read_text("utf-8") for document in (DOCUMENT, AUTHORIZATION)]
    marks = {name for text in texts for name in re.findall(r"<!-- table: ([\w ]+) -->", text)}
    names = {*tables(), KINDS_AND_PARENTS}
    assert names - marks == set(), (
        "give the new kind a section 5.x in docs/conformance.md with the lines '<!-- table: NAME -->' and "
        f"'<!-- end -->', then run: {COMMAND}"
    )
    assert marks - names == set(), "of kinds that are gone: delete their sections in docs/conformance.md"
    assert texts == [updated(text, tables()) for text in texts], f"run: {COMMAND}"


def test_every_ready_blueprint_has_its_table() -> None:
    datasets = objects()
    of_pipelines = {"gaussian_smoothing", "suv_body_weight"}
    assert set(datasets) == set(LIBRARY.blueprints) - of_pipelines, "each file of blueprints/ has its Kind in kinds/"
    written = {str(dataset.SOPClassUID) for dataset in datasets.values()}
    assert written <= set(re.findall(r"\| ([\d.]+) \|", classes()))
    of_kinds = {row.uid for kind in KINDS for row in kind.sop_classes}
    assert of_kinds == set(re.findall(r"\| ([\d.]+) \|", classes()))


@pytest.mark.parametrize("name", ["ct", "mr", "pet", "secondary_capture", "segmentation", "encapsulated_pdf"])
def test_what_is_always_there_is_there(name: str) -> None:
    dataset = objects()[name]
    rows = {row.tag: row for row in rows_of(name, dataset)}
    assert {int(element.tag) for element in dataset} <= set(rows)
    for tag, row in rows.items():
        if row.presence == "ALWAYS":
            assert tag in dataset and not dataset[tag].is_empty, row
        elif row.presence in ("VNAP", "EMPTY"):
            assert tag in dataset, row
