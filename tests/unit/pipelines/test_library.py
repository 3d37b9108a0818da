"""The library of blueprint folders."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from building import LIBRARY, REPOSITORY
from derived_series import NiftiFactory, NumpyFactory
from derived_series.errors import NotFound
from derived_series.pipelines import Library
from derived_series.pipelines.library import FACTORIES  # type: ignore[attr-defined]


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    return tmp_path


GOOD = '''"""A good one.

More."""
from derived_series import Blueprint, CopyElement
blueprint = Blueprint([CopyElement("PatientName")])
'''


def test_the_repositorys_own_folder() -> None:
    assert LIBRARY.problems == ()
    assert {"ct", "mr", "pet", "secondary_capture", "segmentation"} <= set(LIBRARY.blueprints)
    assert sorted(LIBRARY.pipelines) == ["body_mask", "draw_structures", "gaussian_smoothing", "suv_body_weight"]
    assert LIBRARY.factories["numpy"] is NumpyFactory and LIBRARY.factories["nifti"] is NiftiFactory
    assert dict(LIBRARY.factories) == dict(FACTORIES)
    assert all(thing.description for thing in (*LIBRARY.blueprints.values(), *LIBRARY.pipelines.values()))  # type: ignore[attr-defined]
    assert all(len(thing.sha256) == 64 for thing in LIBRARY.blueprints.values())


def test_a_user_adds_a_file_and_nothing_else(tmp_path: Path) -> None:
    user_folder = folder(
        tmp_path,
        mine=GOOD,
        more="""
            from derived_series import NumpyFactory
            from derived_series.pipelines import Pipeline
            class SharpEdgesPipeline(Pipeline):
                "Edges."
            class Named(Pipeline):
                name = "another"
            class EdgeFactory(NumpyFactory):
                pass
        """,
        _helper="raise RuntimeError('files with an underscore are not run')",
    )
    (user_folder / "readme.txt").write_text("not Python")
    library = Library.load([user_folder, REPOSITORY / "blueprints"])
    assert library.problems == ()
    assert library.blueprint("mine").description == "A good one."
    assert library.blueprint("mine").blueprint.name == "mine"
    assert {"sharp_edges", "another", "gaussian_smoothing"} <= set(library.pipelines)
    assert library.pipeline("sharp_edges").description == "Edges."
    assert library.factory("edge").__name__ == "EdgeFactory"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", r"BlueprintError: broken.py calls sys.exit\(3\)"),
        ("blueprint = 7", "'blueprint' is a int, not a Blueprint"),
        (
            "from derived_series import *\nblueprint = Blueprint([CopyElement('Nonsense')])",
            "'Nonsense' is not a DICOM tag",
        ),
        ("from derived_series.pipelines import *\nclass A(Pipeline):\n    parent_input = 'x'", "A.parent_input is 'x'"),
        ("from derived_series.pipelines import *\nclass A(Pipeline):\n    input = {}", "its inputs are none"),
        (
            "from derived_series.pipelines import *\nclass Good(Pipeline): pass\nclass B(Pipeline): name='good'",
            "already",
        ),
        ("blueprint = None\nraise SystemError('deep')", "SystemError: deep"),
    ],
)
def test_a_broken_file_is_told_and_stops_no_other(tmp_path: Path, text: str, message: str) -> None:
    user_folder = folder(tmp_path, a_first=GOOD, broken=text, z_last=GOOD)
    library = Library.load([user_folder])
    assert sorted(library.blueprints) == ["a_first", "z_last"]
    (problem,) = library.problems
    assert problem.file.name == "broken.py"
    assert re.search(message, problem.message)


def test_a_file_that_cannot_be_loaded_has_the_line_in_its_message(tmp_path: Path) -> None:
    lines = "from derived_series.pipelines import Output\n\nOutput('ct', factroy=None)\n"
    user_folder = folder(tmp_path, keyword=lines, module="import os\nimport nothing_of_this_name\n")
    messages = {problem.file.name: problem.message for problem in Library.load([user_folder]).problems}
    assert "'factroy' (keyword.py, line 3)" in messages["keyword.py"]
    assert messages["module.py"].endswith("(module.py, line 2)")


def test_the_first_of_two_of_one_name_stays(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for path in (first, second):
        path.mkdir()
        folder(path, same=GOOD.replace("A good one", f"From {path.name}"))
    library = Library.load([first, second])
    assert library.blueprint("same").description == "From 1."
    (problem,) = library.problems
    assert problem.file == second / "same.py" and "there is a blueprint 'same' already" in problem.message
    assert f"already, of {tmp_path.name}/1/same.py" in problem.message
    assert [p.message for p in Library.load([tmp_path / "missing"]).problems] == ["is not a folder"]


@pytest.mark.parametrize("kind", ["blueprint", "pipeline", "factory"])
def test_what_is_not_there_is_answered_with_what_is(kind: str) -> None:
    with pytest.raises(NotFound, match=f"there is no {kind} 'nothing'.*use one of: ") as error:
        getattr(LIBRARY, kind)("nothing")
    there = {
        "blueprint": "ct, dx, encapsulated_pdf",
        "pipeline": "body_mask, draw_structures, gaussian_smoothing, suv",
        "factory": "nifti, numpy",
    }
    assert there[kind] in str(error.value) and error.value.http_status == 404
