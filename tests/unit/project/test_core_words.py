"""The core speaks of images and DICOM: who asks for a series, and how, is not known there."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from architecture import FILES, PACKAGE, PLUGIN
from derived_series.__main__ import _CHOICES, _parser
from derived_series.errors import Advice, Choice, GeometryError, InvalidOption, InvalidRequest
from derived_series.jobs.record import Problem
from derived_series.jobs.remedies import WORDS
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.kinds.segment_request import ConceptRequest

CORE = [path for path in FILES if (PLUGIN / PACKAGE / "dicom") in path.parents]
#: Words of servers and clients, keys of JSON, options of a command.
FOREIGN = re.compile(
    r"\b(curl|https?|requests?|rest api|stow|qido|wado|orthanc|routes?)\b|\"[A-Z]\w+\": |(?<!-)--[a-z]", re.I
)
#: The project's name on PyPI.
ALLOWED = "derived-series-orthanc"


def foreign_words(path: Path) -> list[str]:
    """Texts and names of a file that speak of requests, servers or a command."""
    findings = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.replace(ALLOWED, "")
        elif isinstance(node, ast.alias):
            text = node.name
        elif isinstance(node, ast.Name | ast.Attribute):
            text = node.id if isinstance(node, ast.Name) else node.attr
        else:
            continue
        if FOREIGN.search(text) or text in ("InvalidRequest", "http_status"):
            findings.append(f"{path.name}:{getattr(node, 'lineno', 0)}: {text[:80]}")
    return findings


def test_the_core_has_no_word_of_requests() -> None:
    assert [word for path in CORE for word in foreign_words(path)] == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 'send it with curl --data-binary'",
        "x = f'{1} in a request'",
        'x = \'ask for "Grid": "Parent"\'',
        "x = 'say --iod'",
        "raise InvalidRequest('x')",
        "from derived_series.errors import InvalidRequest",
        "x = error.http_status",
        "def f():\n    'As an HTTP answer has it.'",
    ],
)
def test_such_words_are_seen(source: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(source)
    assert foreign_words(bad)


def test_routes_and_command_have_words_for_every_choice() -> None:
    assert set(WORDS) | {Choice.IOD} == set(Choice)
    assert set(_CHOICES) | {Choice.CODE} == set(Choice)


def test_each_adds_its_own_words_to_the_remedy() -> None:
    error = GeometryError("two orientations", remedy="choose one", advice=Advice(Choice.ORIENTATION, '"Axial"'))
    assert str(error) == "two orientations (choose one)"
    assert Problem.of(error).remedy == 'choose one: ask with "Orientation": "Axial"'
    assert error.remedy_in(_CHOICES) == 'choose one: --orientation "Axial"'
    assert GeometryError("x", advice=Advice(Choice.NAN)).remedy_in(WORDS) == 'ask with "NaN": 0'
    assert GeometryError("x", remedy="y").remedy_in(WORDS) == "y"


@pytest.mark.parametrize("choice", WORDS, ids=lambda choice: choice.name)
def test_what_an_answer_says_to_ask_for_is_accepted(choice: Choice) -> None:
    words = WORDS[choice].format(value={Choice.ORIENTATION: '"Axial"', Choice.PART: '"Phase"'}.get(choice, ""))
    keys = dict(re.findall(r'"([A-Z]\w+)"(?:: ("\w*"|\d+))?', words))
    model = ConceptRequest if choice is Choice.CODE else DeriveRequest
    assert keys.keys() <= {field.alias for field in model.model_fields.values()}
    shown = {key: json.loads(value) for key, value in keys.items() if value}
    if model is DeriveRequest and "without" not in words:
        DeriveRequest.of({"Blueprint": "ct", "Factory": "numpy", **shown})
    assert keys or choice is Choice.FILE


@pytest.mark.parametrize("choice", _CHOICES, ids=lambda choice: choice.name)
def test_what_the_command_says_to_choose_is_an_option(choice: Choice, capsys: pytest.CaptureFixture[str]) -> None:
    words = _CHOICES[choice].format(value={Choice.ORIENTATION: "Axial", Choice.PART: "Phase"}.get(choice, ""))
    named = set(re.findall(r"--[a-z-]+", words))
    with pytest.raises(SystemExit):
        _parser().parse_args(["lint" if choice is Choice.IOD else "build", "--help"])
    assert named and named <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    for option, value in re.findall(r"(--[a-z-]+) (?!and)(\w+)", words):
        _parser().parse_args(["build", "PARENT_DIR", "OUT_DIR", option, value])


def test_what_cannot_be_chosen_is_caught_as_before() -> None:
    assert issubclass(InvalidOption, InvalidRequest)
