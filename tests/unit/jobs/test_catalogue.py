"""What the catalogue says of blueprints, which a form has to know before a file is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from derived_series.errors import UserCodeError
from derived_series.jobs.notices.fields import REMEDIES
from derived_series.jobs.record import Problem
from derived_series.jobs.work.catalogue import catalogue, kind_json
from derived_series.kinds import KINDS, file_type, reads
from orthanc_server import REPOSITORY

BLUEPRINTS = catalogue((str(REPOSITORY / "blueprints"),)).blueprints


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.blueprint)
def test_each_ready_blueprint_says_what_it_is_made_from(kind: Any) -> None:
    document = BLUEPRINTS[kind.blueprint]["Kind"]
    assert document["Name"] == kind.blueprint and document["Factory"] == kind.factory
    assert document["Keys"] == [key.name for key in kind.keys]
    taken = [file for file in document["Files"] if file["Factory"]]
    assert taken
    for file in taken:
        for start in file["Starts"]:
            known = file_type(bytes.fromhex(start))
            assert known is not None and known.name == file["Name"] and reads(document["Factory"], known)


def test_what_has_to_be_like_the_parent() -> None:
    expected = {"ct": ("CT", True), "dx": ("DX", False), "segmentation": (None, True), "overlay": (None, True)}
    expected |= {"secondary_capture": (None, False), "encapsulated_pdf": (None, False)}
    for name, wanted in expected.items():
        document = BLUEPRINTS[name]["Kind"]
        assert (document["Modality"], document["OnParent"]) == wanted, name


def test_of_an_unknown_kind_nothing_is_said() -> None:
    assert kind_json(None) is None


MISTAKES = {
    "parameters = {'Factor': 0.5}": ("parameters", "class Settings(Parameters)"),
    "parameters = None": ("parameters is None", "class Settings(Parameters)"),
    "parameters = int": ("parameters is the class int", "class Settings(Parameters)"),
    "filling_strategy = 'Discard'": ("filling_strategy", "FillingStrategy.DISCARD"),
    "input = [Input]": ("input", 'input = {"ct": CT}'),
    "input = {1: Input}": ("the name of an input", 'input = {"ct": CT}'),
    "input = {'ct': Input(required_tags='Rows')}": ("required_tags", "list of tags"),
    "environment = 5": ("environment", 'environment = "torch"'),
    "dicom_factory = NumpyFactory": ("dicom_factory is the class NumpyFactory", "NumpyFactory()"),
    "header_blueprint = 'ct'": ("header_blueprint", "give a Blueprint"),
    "outputs = [Output('ct')]": ("outputs", "Outputs by their names"),
    "outputs = {'a': Output('ct', filling_strategy='Copy')}": ("filling_strategy", "FillingStrategy.COPY"),
    "inputs = {'ct': Input}": ("Wrong has 'inputs', which means nothing", "did you mean 'input'?"),
    "Input = {'ct': Input}": ("Wrong has 'Input'", "did you mean 'input'?"),
    "outptus = {}": ("Wrong has 'outptus'", "did you mean 'outputs'?"),
    "def proces(self, container): return 1": ("Wrong has 'proces'", "did you mean 'process'?"),
    "input = {'ct': type('CT', (Input,), {'required_value': {}, '__module__': __name__})}": (
        "CT has 'required_value'",
        "did you mean 'required_values'?",
    ),
    "name = 5": ("name is of type int: 5", "give a text"),
    "name = 'a/b'": ("cannot stand in an address", "give a text"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_class_is_a_problem_of_its_file_alone(mistake: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "from derived_series import *\nfrom derived_series.pipelines import Input, Output, Pipeline\n"
        f"class Wrong(Pipeline):\n    {mistake}\n"
    )
    sound_pipeline(tmp_path)
    known = catalogue((str(tmp_path),))
    assert list(known.pipelines) == ["sound"]
    (problem,) = known.problems
    what, remedy = MISTAKES[mistake]
    assert problem["File"].endswith("wrong.py")
    assert "BlueprintError" in problem["Message"] and what in problem["Message"] and remedy in problem["Message"]


def test_a_misspelt_command_is_a_problem_of_its_file_and_names_of_ones_own_are_none(tmp_path: Path) -> None:
    head = "from derived_series.pipelines import CommandPipeline, Output, Pipeline\n"
    (tmp_path / "wrong.py").write_text(
        f"{head}class Wrong(CommandPipeline):\n    comand = ['true']\n    files = 'x.nii'\n"
    )
    (tmp_path / "output.py").write_text(
        f"{head}class Mine(Output):\n    optionl = True\nclass Of(Pipeline):\n    outputs = {{'a': Mine('ct')}}\n"
    )
    (tmp_path / "own.py").write_text(
        f"{head}class Own(Pipeline):\n    name = 'own'\n    names = ['a']\n    model = weights = None\n"
        "    def inputs(self): return 1\n    def process(self, container): return 2\n"
        "    def processes(self): return 3\n    def preprocess(self): return 4\n"
    )
    known = catalogue((str(tmp_path),))
    messages = {Path(each["File"]).name: each["Message"] for each in known.problems}
    assert set(messages) == {"wrong.py", "output.py"} and list(known.pipelines) == ["own"]
    assert "'comand'" in messages["wrong.py"] and "did you mean 'command'?" in messages["wrong.py"]
    assert "did you mean 'optional'?" in messages["output.py"]


def sound_pipeline(folder: Path) -> None:
    (folder / "zsound.py").write_text(
        "from derived_series.pipelines import Pipeline\nclass Sound(Pipeline):\n    'It is sound.'\n"
    )


def test_what_cannot_be_described_is_a_problem_of_its_file_alone(tmp_path: Path) -> None:
    """Whatever a class raises that is asked what it is."""
    (tmp_path / "wrong.py").write_text(
        "from derived_series import *\n"
        "from derived_series.pipelines import Pipeline\n"
        "class Liar(StaticElement):\n    def __repr__(self): raise LookupError('it will not tell')\n"
        "blueprint = Blueprint([Liar('EchoTime', 'DS', 3)])\n"
        "class Wrong(Pipeline):\n"
        "    @classmethod\n    def all_outputs(cls): raise RuntimeError('no outputs today')\n"
    )
    sound_pipeline(tmp_path)
    known = catalogue((str(tmp_path),))
    assert list(known.pipelines) == ["sound"] and not known.blueprints
    messages = [problem["Message"] for problem in known.problems]
    assert any("blueprint 'wrong'" in text and "it will not tell" in text for text in messages), messages
    assert any("pipeline 'wrong'" in text and "no outputs today (wrong.py, line" in text for text in messages), messages


def test_parameters_without_a_schema_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from typing import Callable\n"
        "from derived_series.pipelines import Parameters, Pipeline\n"
        "class Settings(Parameters):\n    function: Callable[[int], int] = abs\n"
        "class Odd(Pipeline):\n    parameters = Settings\n"
    )
    known = catalogue((str(tmp_path),))
    assert "it has no schema" in known.pipelines["odd"]["Parameters"]["description"] and not known.problems


def test_a_failure_of_user_code_says_where_to_look() -> None:
    assert "the traceback is in the job's log" in str(Problem.of(UserCodeError("process raised KeyError")).remedy)
    assert "program" in REMEDIES["UserCodeError"], "a notice tells of the class alone: Python may not have failed"
    assert Problem.of(UserCodeError("it is too slow", remedy="raise Timeout")).remedy == "raise Timeout"
