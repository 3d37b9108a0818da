"""Every kind of object with every sort of parent: made, or refused for a reason that says what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance import DOCUMENT, table_of_kinds_and_parents, updated
from derived_series.kinds import KINDS
from kinds_matrix import PARENTS, compact, matrix, plain_text
from parents_of_kinds import PROJECTION

pytestmark = pytest.mark.slow

VOLUMES = ("axial", "sagittal", "oblique", "tilted", "enhanced", "4D")
#: Documents and pictures, which have no place in space.
ANYWHERE = ("secondary_capture", "multiframe_secondary_capture", "measurement_report", "encapsulated_pdf")
#: Labels drawn over one volume, or over images without a place.
OVERLAYS = ("overlay", "overlay_pdf")
IN_SPACE = [kind.blueprint for kind in KINDS if kind.blueprint not in (*PROJECTION, *ANYWHERE, *OVERLAYS)]
#: They are of one volume.
OF_ONE = [name for name in IN_SPACE if name not in ("ct", "mr", "pet", "fractional_segmentation")]


def test_every_kind_is_made_of_every_sort_of_parent_or_refused_for_a_reason(table: Callable[[str], None]) -> None:
    cells = matrix()
    for line in plain_text(*compact(cells)):
        table(line)
    assert list(cells) == [kind.blueprint for kind in KINDS]
    for kind, row in cells.items():
        assert list(row) == list(PARENTS)
        for parent, cell in row.items():
            assert bool(cell.instances) != bool(cell.reason), (kind, parent)
            assert cell.instances or cell.remedy, f"{kind} of {parent}: what to do is not told"
            assert "Traceback" not in cell.reason and "Error" not in cell.reason


def test_the_conformance_statement_says_so() -> None:
    document = DOCUMENT.read_text("utf-8")
    assert document == updated(document, table_of_kinds_and_parents()), (
        "run: PYTHONPATH=plugin:tests .venv/bin/python scripts/conformance.py"
    )


def parents_taken(name: str) -> set[str]:
    return {parent for parent, cell in matrix()[name].items() if cell.instances}


@pytest.mark.parametrize("name", ANYWHERE)
def test_pictures_and_documents_are_made_of_all(name: str) -> None:
    assert parents_taken(name) == set(PARENTS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_labels_are_drawn_over_all_but_several_volumes(name: str) -> None:
    assert parents_taken(name) == set(PARENTS) - {"4D"}


@pytest.mark.parametrize("name", IN_SPACE)
def test_what_is_in_space_is_made_of_all_that_is_in_space(name: str) -> None:
    missing = {"4D"} if name in OF_ONE else set()
    if name == "rt_dose":  # whose grid is straight
        missing.add("tilted")
    assert parents_taken(name) == set(VOLUMES) - missing
    for parent in ("RGB", "projection"):
        cell = matrix()[name][parent]
        assert "nothing tells where" in cell.reason or "makes PT images" in cell.reason
        assert ("blueprint overlay" if "summary" in name else "secondary_capture") in cell.remedy
        if name in ("ct", "mr", "pet") and parent == "projection":
            assert "blueprint dx" in cell.remedy


@pytest.mark.parametrize("name", PROJECTION)
def test_what_stays_its_parents_kind_is_made_of_it_alone(name: str) -> None:
    assert parents_taken(name) == ({"projection", "RGB"} if name == "us" else {"projection"})
    for parent in VOLUMES:
        cell = matrix()[name][parent]
        assert "the parent is CT" in cell.reason and "blueprint ct" in cell.remedy
