"""``python -m derived_series``: build, explain and list without a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from building import LIBRARY, REPOSITORY, parent_of, real
from derived_series import ParentSeries
from derived_series.__main__ import main
from phantoms import ct_phantom, decoded, encode, pet_phantom


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    folder = tmp_path / "parent"
    folder.mkdir()
    for index, dataset in enumerate(ct_phantom(4, 6, 5)):
        (folder / f"{index}.dcm").write_bytes(encode(dataset))
    return folder


def written_in(folder: Path) -> tuple[list[Any], np.ndarray[Any, Any]]:
    """What a folder of derived instances holds, by file name, and its values."""
    from pydicom import dcmread

    datasets = [dcmread(path) for path in sorted(folder.iterdir())]
    return datasets, np.stack([real(dataset) for dataset in datasets])


def test_lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(REPOSITORY / "blueprints" / "ct.py"), "--iod", "CT"]) == 0
    assert capsys.readouterr().out == "ct: no findings\n"
    bad = tmp_path / "bad.py"
    bad.write_text(
        "from derived_series import *\n"
        "blueprint = volume_blueprint + ct_image_blueprint + Blueprint([DiscardElement('KVP'), "
        "StaticElement('EchoTime', 'DS', 3), StaticElement('Rows', 'US', 5), StaticElement('PatientID', 'LO', 'x')])\n"
    )
    assert main(["lint", str(bad)]) == 1
    out = capsys.readouterr().out
    assert "error: KVP (0018,0060) is discarded: it is of type 2 [ct-image module]" in out
    assert "warning: EchoTime (0018,0081) belongs to no module of ct-image" in out
    assert "warning: Rows (0028,0010) is not used" in out and "warning: PatientID (0010,0020) is not used" in out
    assert main(["lint", "ct", "--iod", "MR", "--json"]) == 0
    by_tag = {finding["Tag"]: finding for finding in json.loads(capsys.readouterr().out)["ct"]}
    assert by_tag["0018,0020"]["Severity"] == "Warning" and "left to the rules" in by_tag["0018,0020"]["Message"]
    assert main(["lint", "ct", "--iod", "enhanced-mr-image"]) == 1
    assert "error: SharedFunctionalGroupsSequence" not in (out := capsys.readouterr().out)
    assert "error: PixelPresentation (0008,9205) is never set: it is of type 1" in out
    assert main(["lint", "ct", "--iod", "XX"]) == 2 and "there is no IOD 'XX'" in capsys.readouterr().err


@pytest.mark.wide(quick=6)
@pytest.mark.parametrize("name", sorted({*LIBRARY.blueprints} - {"gaussian_smoothing", "suv_body_weight"}))
def test_lint_finds_nothing_in_ready_blueprints(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", name]) == 0
    assert capsys.readouterr().out == f"{name}: no findings\n"


@pytest.mark.parametrize("kind", ["x.npy", "x.nii", "x.nii.gz", None])
def test_build(parent: Path, tmp_path: Path, kind: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    source = ParentSeries.from_folder(parent)
    arguments = ["build", str(parent), str(tmp_path / "deep" / "out"), "--blueprint", "ct"]
    if kind is not None:
        image = tmp_path / kind
        np.save(image, source.voxels()) if kind == "x.npy" else nib.save(source.to_nifti(), image)
        arguments += ["--image", str(image)]
    assert main(arguments) == 0
    datasets, values = written_in(tmp_path / "deep" / "out")
    assert np.array_equal(values, source.voxels())
    assert [path.name for path in sorted((tmp_path / "deep" / "out").iterdir())] == [
        f"{number:05d}.dcm" for number in (1, 2, 3, 4)
    ]
    assert [dataset.InstanceNumber for dataset in datasets] == [1, 2, 3, 4]
    out, err = capsys.readouterr()
    assert out.startswith(f"4 instances of series {datasets[0].SeriesInstanceUID}") and out.count("\n") == 1
    assert all(line.startswith("warning: ") for line in err.splitlines())
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["out"]


def test_one_of_several_orientations(parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index, dataset in enumerate(ct_phantom(2, 6, 5, orientation="coronal", series="coronal")):
        dataset.SeriesInstanceUID = ct_phantom(1)[0].SeriesInstanceUID
        (parent / f"coronal{index}.dcm").write_bytes(encode(dataset))
    arguments = ["--blueprint", "ct", "--orientation"]
    assert main(["build", str(parent), str(tmp_path / "a"), *arguments, "Coronal"]) == 0
    assert main(["build", str(parent), str(tmp_path / "b"), *arguments, "1,0,0,0,1,0"]) == 0
    assert [len(written_in(tmp_path / name)[0]) for name in "ab"] == [2, 4]
    assert "4 of the parent's 6 instances are left out" in capsys.readouterr().err
    assert main(["build", str(parent), str(tmp_path / "c"), "--blueprint", "ct"]) == 2
    assert '--orientation "Axial" or "Coronal"' in capsys.readouterr().err
    assert main(["explain", str(parent), *arguments, "up"]) == 2
    assert "'up' is neither a plane (Axial, Sagittal, Coronal) nor six numbers" in capsys.readouterr().err
    assert main(["explain", str(parent), *arguments, "Axial"]) == 0


def test_build_with_options(parent: Path, tmp_path: Path) -> None:
    image = np.full((4, 6, 5), np.nan)
    np.save(tmp_path / "nan.npy", image)
    (tmp_path / "out").mkdir()  # an empty folder is fine
    options = ["--description", "Mine", "--replace", "ImageComments=a=b", "--replace", "0020,4000=later"]
    options += ["--derivation", "GaussianBlur", "--nan", "-5", "--filling", "Copy"]
    arguments = ["build", str(parent), str(tmp_path / "out"), "--blueprint", "ct", "--image", str(tmp_path / "nan.npy")]
    assert main(arguments + options) == 0
    (first, *_), values = written_in(tmp_path / "out")
    assert (first.SeriesDescription, first.ImageComments) == ("Mine", "later")
    assert first.DerivationCodeSequence[0].CodeMeaning == "Gaussian blur"
    assert first.StudyDescription == "Head" and np.all(values == -5)


def test_build_in_another_transfer_syntax(parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["build", str(parent), str(tmp_path / "out"), "--blueprint", "ct", "--transfer-syntax"]
    assert main([*arguments, "JPEG2000"]) == 2
    assert "JPEG2000Lossless" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main([*arguments, "RLELossless"]) == 0
    packed = ParentSeries.from_folder(tmp_path / "out")
    assert packed.pivot.file_meta.TransferSyntaxUID.keyword == "RLELossless"
    assert np.array_equal(packed.voxels(), ParentSeries.from_folder(parent).voxels())


def test_build_a_picture_of_labels(parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.zeros(ParentSeries.from_folder(parent).shape, np.uint8)
    labels[1] = 2
    np.save(tmp_path / "labels.npy", labels)
    (tmp_path / "names.csv").write_text("number,name,color\n2,Liver,#ff0000\n")
    arguments = ["--blueprint", "overlay", "--image", str(tmp_path / "labels.npy")]
    arguments += ["--segments", str(tmp_path / "names.csv"), "--picture"]
    assert main(["build", str(parent), str(tmp_path / "out"), *arguments, "fill=1", "--picture", "legend=false"]) == 0
    pictures = [dcmread(path).pixel_array for path in sorted((tmp_path / "out").iterdir())]
    assert [bool((picture[256, 256] == (255, 0, 0)).all()) for picture in pictures] == [False, True, False, False]
    for wrong, message in (("fill=much", "write note=true"), ("fill=3", "0 to 1"), ("colour=1", "no setting 'colour'")):
        assert main(["build", str(parent), str(tmp_path / "other"), *arguments, wrong]) == 2
        assert message in capsys.readouterr().err


def test_build_with_a_pipeline(parent: Path, tmp_path: Path) -> None:
    arguments = ["build", str(parent), str(tmp_path / "out"), "--pipeline", "gaussian_smoothing"]
    assert main([*arguments, "--parameter", "SigmaMm=2"]) == 0
    (first, *_), values = written_in(tmp_path / "out")
    assert first.DerivationDescription == "Gaussian smoothing, sigma 2 mm"
    assert values.std() < ParentSeries.from_folder(parent).voxels().std()
    pet = tmp_path / "pet"
    pet.mkdir()
    for index, dataset in enumerate(pet_phantom(3, 6, 5)):
        (pet / f"{index}").write_bytes(encode(dataset))
    assert main(["build", str(pet), str(tmp_path / "suv"), "--pipeline", "suv_body_weight"]) == 0
    assert written_in(tmp_path / "suv")[0][0].Units == "GML"


TWO = """
from derived_series import *
from derived_series.pipelines import *

class CT(Input):
    required_values = {"Modality": "CT"}

class Two(Pipeline):
    "Two outputs."
    input = {"ct": CT, "second": CT}
    parent_input = "ct"
    outputs = {"half": Output("ct"), "mask": Output(None)}

    def blueprint_for(self, parent, parameters, blueprints, output):
        return blueprints["segmentation"] + derivation(output, "Smoothing")

    def process(self, container):
        print("it runs")
        both = container["ct"].voxels() + container["second"].voxels()
        return {"half": both * 0.25, "mask": both > 0, "values": {"n": Value(2, "ml")}}

class Asking(Pipeline):
    "It asks the parent."
    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints[parent.modality.lower()]
"""


def test_build_of_several_outputs(parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "library" / "two.py"
    file.parent.mkdir()
    file.write_text(TWO)
    build = ["--blueprints", str(REPOSITORY / "blueprints"), "--blueprints", str(file.parent), "build", str(parent)]
    build += [str(tmp_path / "out"), "--pipeline", "two"]
    for arguments, message in (
        ([], "needs the input second (name the folder of each: --input second=DIR)"),
        (["--input", "ct=x"], "has no input 'ct' beside its parent, 'ct' (--input takes second)"),
    ):
        assert main([*build, *arguments]) == 2
        refused = capsys.readouterr()
        assert message in refused.err and "it runs" not in refused.out and not (tmp_path / "out").exists()
    assert main([*build, "--input", f"second={parent}"]) == 0
    printed = capsys.readouterr().out
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["half", "mask"]
    assert {each.Modality for each in written_in(tmp_path / "out" / "half")[0]} == {"CT"}
    assert dcmread(next((tmp_path / "out" / "mask").iterdir())).Modality == "SEG"
    assert "n: 2 ml" in printed and f"in {tmp_path / 'out' / 'mask'}" in printed


def test_lint_of_pipelines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "two.py").write_text(TWO)
    assert main(["lint", str(tmp_path / "two.py")]) == 0
    printed = capsys.readouterr()
    assert "two.half: no findings\n" in printed.out and "two.mask: no findings\n" in printed.out
    assert "note: asking is not checked: blueprint_for cannot be called without a parent series" in printed.err
    assert main(["--blueprints", str(tmp_path), "--blueprints", str(REPOSITORY / "blueprints"), "lint", "two"]) == 0
    assert "two.mask: no findings" in capsys.readouterr().out
    assert main(["--blueprints", str(tmp_path), "lint", "asking"]) == 2
    assert "asking cannot be checked: blueprint_for" in capsys.readouterr().err


def test_a_file_stands_for_its_blueprint_or_pipeline(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from derived_series import *\nblueprint = volume_blueprint + ct_image_blueprint\n")
    assert main(["explain", str(parent), "--blueprint", str(file)]) == 0
    assert "mine" in capsys.readouterr().out
    assert main(["build", str(parent), str(tmp_path / "out"), "--blueprint", str(file)]) == 0
    smoothing = str(REPOSITORY / "blueprints" / "gaussian_smoothing.py")
    assert main(["build", str(parent), str(tmp_path / "smooth"), "--pipeline", smoothing]) == 0
    assert main(["explain", str(parent), "--blueprint", str(tmp_path / "none.py")]) == 2
    assert "none.py is not a file" in capsys.readouterr().err
    assert main(["explain", str(parent), "--blueprint", smoothing]) == 2
    assert "has no blueprint" in capsys.readouterr().err


def test_files_that_cannot_be_loaded_are_one_line_where_nothing_of_them_is_asked(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.py").write_text("import nothing_of_this_name\n")
    command = ["--blueprints", str(REPOSITORY / "blueprints"), "--blueprints", str(tmp_path)]
    assert main([*command, "explain", str(parent), "--blueprint", "ct"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "warning: 4 files cannot be loaded (a.py, b.py, c.py, ...): derived-series list says why"
    ]
    assert main([*command, "explain", str(parent), "--blueprint", "b"]) == 2
    assert "warning: b.py: ModuleNotFoundError" in capsys.readouterr().err


def test_explain(parent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(parent), "--blueprint", "ct"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for text in ("(0010,0020) PatientID", "PHANTOM-1", "general_series: HeaderElement", "<with the image>", "overrode"):
        assert text in out
    assert "StudyComments" not in out and "InstitutionName" in out
    assert main(["explain", str(parent), "--blueprint", "ct", "--filling", "Copy"]) == 0
    assert "FillingStrategy.COPY" in capsys.readouterr().out


def test_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for text in ("blueprints:", "ct ", "mr ", "pet ", "pipelines:", "gaussian_smoothing", "SUV", "numpy", "nifti"):
        assert text in out
    (tmp_path / "mine.py").write_text('"""My own."""\nfrom derived_series import Blueprint\nblueprint = Blueprint()\n')
    (tmp_path / "broken.py").write_text("1 / 0")
    assert main(["--blueprints", str(tmp_path), "list"]) == 0
    out, err = capsys.readouterr()
    assert "mine" in out and "My own." in out and "gaussian" not in out
    assert err == "warning: broken.py: ZeroDivisionError: division by zero (broken.py, line 1)\n"


def _image(folder: Path, name: str, array: Any) -> list[str]:
    np.save(folder / name, array)
    return ["--blueprint", "ct", "--image", str(folder / name)]


def _text(folder: Path, name: str) -> list[str]:
    (folder / name).write_text("this is not an image")
    return ["--blueprint", "ct", "--image", str(folder / name)]


BAD: dict[str, Any] = {
    "no blueprint": lambda f: ([], "name a --blueprint or a --pipeline"),
    "unknown blueprint": lambda f: (["--blueprint", "xy"], "no blueprint 'xy'"),
    "unknown pipeline": lambda f: (["--pipeline", "xy"], "no pipeline 'xy'"),
    "both": lambda f: (["--pipeline", "gaussian_smoothing", "--blueprint", "ct"], "leave --blueprint and --image out"),
    "missing image": lambda f: (["--blueprint", "ct", "--image", str(f / "no.npy")], "is not a file"),
    "text as npy": lambda f: (_text(f, "text.npy"), "not a readable .npy file"),
    "text as nifti": lambda f: (_text(f, "text.nii"), "not a readable NIfTI file"),
    "text as text": lambda f: (_text(f, "text.txt"), "not a readable NIfTI file"),
    "objects": lambda f: (_image(f, "objects.npy", np.array([{}])), "not a readable .npy file"),
    "wrong shape": lambda f: (
        _image(f, "shape.npy", np.zeros((4, 5, 6))),
        "(4, 5, 6), the parent series' is (4, 6, 5)",
    ),
    "nan": lambda f: (_image(f, "nan.npy", np.full((4, 6, 5), np.nan)), "NaN or Inf"),
    "complex": lambda f: (_image(f, "complex.npy", np.zeros((4, 6, 5), complex)), "no pixel encoding"),
    "bad tag": lambda f: (["--blueprint", "ct", "--replace", "Nonsense=1"], "'Nonsense' is not a DICOM tag"),
    "bad value": lambda f: (["--blueprint", "ct", "--replace", "StudyDate=today"], "StudyDate"),
    "no pair": lambda f: (["--blueprint", "ct", "--replace", "StudyDate"], "is not NAME=VALUE"),
    "bad parameter": lambda f: (["--pipeline", "gaussian_smoothing", "--parameter", "SigmaMm=x"], "SigmaMm"),
    "bad derivation": lambda f: (["--blueprint", "ct", "--derivation", "Magic"], "not a derivation of CID 7203"),
    "other modality": lambda f: (["--pipeline", "suv_body_weight"], "does not take the series: Modality"),
    "wrong blueprint": lambda f: (["--blueprint", "pet"], "lacks"),
}


@pytest.mark.wide(quick=10)
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(
    case: str, parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, text = BAD[case](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["build", str(parent), str(tmp_path / "new" / "out"), *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("error: ")
    assert text in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("arguments", [[], ["fly"], ["build"], ["build", "a", "b", "--filling", "Some"], ["list", "x"]])
def test_bad_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: derived-series" in capsys.readouterr().err


def test_bad_parents(parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    for index, patient in enumerate("AB"):
        (tmp_path / "mixed" / patient).write_bytes(encode(ct_phantom(2, patient_id=patient)[index]))
    for folder, text in (("missing", "is not a folder"), ("empty", "holds no DICOM file"), ("mixed", "'A', 'B'")):
        for command in (["build", str(tmp_path / folder), str(tmp_path / "out")], ["explain", str(tmp_path / folder)]):
            assert main([*command, "--blueprint", "ct"]) == 2
            assert text in capsys.readouterr().err
    assert main(["explain", str(parent)]) == 2
    assert "name a --blueprint" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_out_dir_that_holds_something_is_left_alone(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for target in (out, tmp_path / "file"):
        assert main(["build", str(parent), str(target), "--blueprint", "ct"]) == 2
        assert "is there already and not empty" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["mine.txt"] and (tmp_path / "file").read_text() == "mine"
    assert main(["build", str(parent), str(tmp_path / "file" / "below"), "--blueprint", "ct"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


FAILS_LATE = """
from derived_series import ABSENT, FunctionalElement, Blueprint, volume_blueprint, ct_image_blueprint
def comment(env):
    if env.index == 2:
        raise RuntimeError("slice 2")
    return "fine"
blueprint = volume_blueprint + ct_image_blueprint + Blueprint([FunctionalElement("TableHeight", "DS", comment)])
"""


def test_a_failure_in_the_middle_of_writing_leaves_nothing(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "late.py").write_text(FAILS_LATE.replace('"fine"', '"1.5"'))
    before = sorted(tmp_path.rglob("*"))
    arguments = ["--blueprints", str(tmp_path / "own"), "build", str(parent)]
    for out in (tmp_path / "out", tmp_path / "new" / "out"):
        assert main([*arguments, str(out), "--blueprint", "late"]) == 2
        assert "RuntimeError: slice 2" in capsys.readouterr().err
        assert not out.exists()
    after = [path for path in sorted(tmp_path.rglob("*")) if "__pycache__" not in path.parts]
    assert after == before


@pytest.mark.slow
def test_as_a_program_of_its_own(parent: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "derived_series"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "plugin")}
    fine = subprocess.run(
        [*command, "build", str(parent), str(tmp_path / "out"), "--blueprint", "secondary_capture"],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert fine.returncode == 0 and fine.stdout.startswith("4 instances")
    assert np.array_equal(written_in(tmp_path / "out")[1], parent_of(ct_phantom(4, 6, 5)).voxels())
    bad = subprocess.run(
        [*command, "explain", str(tmp_path / "missing"), "--blueprint", "ct"],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert bad.returncode == 2 and bad.stderr.count("\n") == 1 and "Traceback" not in bad.stderr


@pytest.mark.parametrize("form", ["{}", "={}"])
def test_values_that_begin_with_a_minus(form: str, parent: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "nan.npy", np.full((4, 6, 5), np.nan))
    values = {
        "--orientation": "-1.0,-0.0,0,0,-1,0",
        "--nan": "-1e1",
        "--description": "-x",
        "--replace": "ImageComments=-1",
    }
    for file in parent.iterdir():
        dataset = decoded(file.read_bytes())
        dataset.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
        file.write_bytes(encode(dataset))
    arguments = ["build", str(parent), str(tmp_path / "out"), "--blueprint", "ct", "--image", str(tmp_path / "nan.npy")]
    for option, value in values.items():
        arguments += [f"{option}={value}"] if "=" in form else [option, value]
    assert main(arguments) == 0
    (first, *_), derived = written_in(tmp_path / "out")
    assert first.SeriesDescription == "-x" and np.all(derived == -10)
    assert main(["explain", str(parent), "--blueprint", "ct", "--orientation", "-1,0,0,0,-1"]) == 2


@pytest.mark.slow
def test_the_commands_of_the_readme_run_as_they_are_printed(tmp_path: Path) -> None:
    lines = (REPOSITORY / "README.md").read_text("utf-8").splitlines()
    commands = [line.split("#")[0].split() for line in lines if line.startswith(".venv/bin/derived-series ")]
    assert {command[1] for command in commands} == {"list", "explain", "lint", "build"}
    (command,) = (command for command in commands if command[1] == "list")
    if not (REPOSITORY / command[0]).exists():
        pytest.skip("there is no .venv in the checkout")
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "segmentation" in done.stdout


def test_broken_files_are_one_line_each_of_the_list(tmp_path: Path) -> None:
    """As a program: nothing handles the log's records there but Python's last resort."""
    (tmp_path / "number.py").write_text(
        "from derived_series.pipelines import Pipeline\nclass Wrong(Pipeline):\n    name = 5\n"
    )
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    command = [sys.executable, "-m", "derived_series", "--blueprints", str(tmp_path), "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "pipelines:" in done.stdout, done.stderr
    lines = done.stderr.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == ["broken.py", "number.py"], done.stderr
    assert "nothing_of_this_name" in lines[0] and "name is of type int: 5" in lines[1]
