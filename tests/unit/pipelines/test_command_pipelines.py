"""Commands as pipelines: files in, files out, progress and errors as the command has them, and nothing left behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import highdicom
import numpy as np
import pytest

from building import LIBRARY, parent_of, volume, written
from derived_series import BuildContext
from derived_series.errors import BlueprintError, InvalidRequest, UserCodeError
from derived_series.pipelines import CommandPipeline, Input, Library, Output, Parameters, Pipeline, Value
from derived_series.pipelines.library import NamedPipeline
from derived_series.pipelines.run import Options, Results, run_outputs
from derived_series.pipelines.supervised import Command
from derived_series.pipelines.supervised import run as run_supervised
from derived_series.pipelines.workplace import Workplace
from phantoms import ct_phantom
from waiting import soon

CT = parent_of(ct_phantom(4, 6, 5))

#: Reads a NIfTI file, writes what is above a threshold, and says how far it is as tqdm does.
SEGMENT = """
import json, sys
import nibabel, numpy
source, target, above = sys.argv[1], sys.argv[2], float(sys.argv[3])
image = nibabel.load(source)
print("reading", flush=True)
sys.stderr.write("\\r  0%|          | 0/2 [00:00<?, ?it/s]\\r 50%|#####     | 1/2 [00:01<00:01,  1.0s/it]")
sys.stderr.flush()
mask = (image.get_fdata() > above).astype(numpy.uint8)
nibabel.save(nibabel.Nifti1Image(mask, image.affine), target)
numpy.save(target.replace("seg.nii.gz", "twice.npy"), image.get_fdata().T * 2)
numbers = dict(volume=dict(Value=float(mask.sum()), Unit="mm3"), n=3)
json.dump(numbers, open(target.replace("seg.nii.gz", "n.json"), "w"))
"""


class Above(Parameters):
    Threshold: float = -500.0
    Name: str = ""
    Extra: list[str] = []


class Segmenting(CommandPipeline):
    """A mask of what is above a threshold."""

    input = {"ct": Input}
    parameters = Above
    command = [sys.executable, "-c", SEGMENT, "{ct}", "{out}/seg.nii.gz", "{Threshold}"]
    outputs = {"seg": Output("segmentation")}
    files: ClassVar[Mapping[str, str] | str] = {"seg": "seg.nii.gz"}


def run(pipeline: type[Pipeline], folder: Path, parameters: dict[str, Any] | None = None, **heard: Any) -> Results:
    library = Library(
        LIBRARY.blueprints, {"mine": NamedPipeline("mine", pipeline, "", Path("mine.py"), "")}, LIBRARY.factories, ()
    )
    place = Workplace(folder, **heard)
    return run_outputs(library, "mine", {"ct": CT}, parameters or {}, Options(), BuildContext(uid_seed="j"), place)


def mask_of(series: Any) -> Any:
    """A segmentation on the parent's slices, as another program reads it."""
    seg = highdicom.seg.segread(io.BytesIO(series.encode(0)))
    uids = [instance.SOPInstanceUID for instance in CT.instances]
    return seg.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True) > 0


def test_a_command_segments_what_it_reads(tmp_path: Path) -> None:
    """The labels are where the command has seen them: axes, order of slices and place."""
    lines: list[str] = []
    parts: list[tuple[float, str]] = []
    results = run(Segmenting, tmp_path, log=lines.append, progress=lambda part, text: parts.append((part, text)))
    assert np.array_equal(mask_of(results.series["seg"]), CT.voxels() > -500)
    assert 0 < (CT.voxels() > -500).sum() < CT.voxels().size
    assert "reading" in lines and not any("%|" in line for line in lines)
    assert [part for part, _ in parts] == [0.0, 0.5] and "1/2" in parts[1][1]


@pytest.mark.slow
def test_several_files_and_numbers_of_one_command(tmp_path: Path) -> None:
    class Both(Segmenting):
        outputs = {"seg": Output("segmentation"), "twice": Output("ct"), "none": Output("ct", optional=True)}
        files = {"seg": "*.nii.gz", "twice": "twice.npy", "none": "nothing/*.nii"}
        values_file = "n.json"

    results = run(Both, tmp_path)
    assert np.array_equal(volume(results.series["twice"]), CT.voxels() * 2)
    assert set(results.series) == {"seg", "twice"}
    assert results.values == {"volume": Value(float((CT.voxels() > -500).sum()), "mm3"), "n": Value(3)}


@pytest.mark.slow
def test_a_report_is_made_of_the_numbers_and_needs_no_file(tmp_path: Path) -> None:
    class Reported(Segmenting):
        outputs = {"seg": Output("segmentation"), "report": Output("measurement_report", values=True)}
        values_file = "n.json"

    (report,) = written(run(Reported, tmp_path).series["report"])
    texts = str(report)
    assert report.Modality == "SR" and "Volume" in texts and f"{(CT.voxels() > -500).sum()}" in texts


@pytest.mark.slow
def test_the_one_output_of_a_pipeline_without_outputs(tmp_path: Path) -> None:
    class One(Segmenting):
        outputs = {}
        files = "seg.nii.gz"
        header_blueprint = LIBRARY.blueprints["segmentation"].blueprint

    (series,) = run(One, tmp_path, {"Threshold": -990}).series.values()
    assert np.array_equal(mask_of(series), CT.voxels() > -990)


@pytest.mark.slow
def test_finished_dicom_of_a_command_passes_the_gate_as_the_parents_own(tmp_path: Path) -> None:
    class Finished(Segmenting):
        command = [
            sys.executable,
            "-c",
            "import sys, pathlib, pydicom\n"
            "for file in pathlib.Path(sys.argv[1]).iterdir():\n"
            "    dataset = pydicom.dcmread(file)\n"
            "    dataset.SOPInstanceUID = pydicom.uid.generate_uid(); dataset.PatientName = 'Somebody^Else'\n"
            "    dataset.SeriesInstanceUID = '1.2.3.4'\n"
            "    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID\n"
            "    dataset.ImageType = ['DERIVED', 'PRIMARY', 'AXIAL']\n"
            "    dataset.save_as(pathlib.Path(sys.argv[2]) / file.name)\n",
            "{ct}",
            "{out}",
        ]
        input = {"ct": type("Files", (Input,), {"as_": "dicom"})}
        outputs = {"again": Output("ct")}
        files = {"again": "*"}

    (series,) = run(Finished, tmp_path).series.values()
    datasets = written(series)
    assert len(datasets) == len(CT) and {str(each.PatientName) for each in datasets} == {str(CT.pivot.PatientName)}
    assert np.array_equal(volume(series), CT.voxels())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo reading; echo 'no such organ' >&2; exit 7", r"exit status 7; (.|\n)*no such organ"),
        ("kill -SEGV $$", "ended by SIGSEGV; it wrote nothing"),
        ("kill -KILL $$", "ended by SIGKILL; .*more memory than there is"),
        ("echo done", "wrote no file 'seg.nii.gz' for the output 'seg'; it wrote nothing"),
        ("touch $0/a.nii.gz $0/b.nii.gz", "wrote no file .*it wrote a.nii.gz, b.nii.gz"),
        ("ln -s /etc/passwd $0/seg.nii.gz", "wrote no file"),
        ("echo nonsense > $0/seg.nii.gz", "wrote seg.nii.gz for the output 'seg', which cannot be read: .*NIfTI"),
    ],
)
def test_what_goes_wrong_is_told(tmp_path: Path, script: str, message: str) -> None:
    class Failing(Segmenting):
        command = ["sh", "-c", script, "{out}"]

    with pytest.raises(Exception, match=message) as caught:
        run(Failing, tmp_path)
    if isinstance(caught.value, UserCodeError):  # without a remedy, a job says that the pipeline's code has failed
        assert caught.value.remedy
    if "exit 7" in script:
        assert str(tmp_path) not in str(caught.value) and "reading\nno such organ" in str(caught.value)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    class Absent(Segmenting):
        command = ["no-such-program", "{ct}"]

    with pytest.raises(UserCodeError, match="'no-such-program' cannot be started: FileNotFoundError.*PATH"):
        run(Absent, tmp_path)


def test_a_pipeline_without_a_command_says_so(tmp_path: Path) -> None:
    class Idle(Segmenting):
        command = []

    with pytest.raises(BlueprintError, match=r"pipeline 'idle' has no command .*command = \["):
        run(Idle, tmp_path)


def arguments(folder: Path, command: Any, parameters: dict[str, Any]) -> list[str]:
    """What a program gets as its arguments."""

    class Told(Segmenting):
        pass

    Told.command = [sys.executable, "-c", "import sys; print('|'.join(sys.argv[1:])); sys.exit(1)", *command]
    lines: list[str] = []
    with pytest.raises(UserCodeError, match="exit status 1"):
        run(Told, folder, parameters, log=lines.append)
    return lines[-1].split("|")


def test_parameters_stay_one_argument_and_no_shell_reads_them(tmp_path: Path) -> None:
    name = "a; touch /tmp/x $(id) \"b' *"
    received = arguments(
        tmp_path, ["{Name}", "--t={Threshold}", "{{x}}", "{Extra}"], {"Name": name, "Extra": ["p q", "r"]}
    )
    assert received == [name, "--t=-500.0", "{x}", "p q", "r"]


def test_a_group_is_left_out_when_its_thing_is_not_there(tmp_path: Path) -> None:
    class Optional(Above):
        Prior: str | None = None
        Fast: bool = False

    Segmenting.parameters, before = Optional, Segmenting.parameters
    try:
        groups = [["--prior", "{Prior}"], ["--fast", "{Fast}"], "end"]
        assert arguments(tmp_path, groups, {}) == ["end"]
        assert arguments(tmp_path, groups, {"Prior": "x", "Fast": True}) == ["--prior", "x", "--fast", "end"]
    finally:
        Segmenting.parameters = before


def test_a_text_that_the_command_would_take_for_an_option_is_refused(tmp_path: Path) -> None:
    class Named(Segmenting):
        command = [sys.executable, "-c", "", "{Name}"]

    with pytest.raises(InvalidRequest, match="'--weights=/etc/passwd': the command would take it for an option"):
        run(Named, tmp_path, {"Name": "--weights=/etc/passwd"})


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"command": ["x", "{mr}"]}, r"\{mr\}, which is not an input.*ct, in, out"),
        ({"command": ["x", "{ct"]}, "braces that are not closed"),
        ({"command": ["x", "{ct.pivot}"]}, "which is not a name"),
        ({"command": "x -i {ct}"}, "is one text"),
        ({"command": ["x", 3]}, "the argument 3"),
        ({"files": {"mask": "x.nii"}}, "names mask, its outputs are seg"),
        ({"progress": "("}, "not a regular expression"),
        ({"progress": r"(\d+)%"}, "no group 'percent'"),
        ({"input": {"out": Input}}, "several things named out"),
    ],
)
def test_a_pipeline_that_is_defined_wrongly_is_told_when_it_is_loaded(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(BlueprintError, match=message):
        type("Wrong", (Segmenting,), attributes)


def test_the_environment_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own variables and folder for temporary files; nothing that is for Orthanc or for our own Python."""
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("ORTHANC__REGISTERED_USERS", "secret")

    class Telling(Segmenting):
        command = ["sh", "-c", "echo $TMPDIR; echo $MODEL; echo ours:$PYTHONPATH$ORTHANC__REGISTERED_USERS; exit 1"]
        env = {"MODEL": "{in}/m {Threshold}"}

    lines: list[str] = []
    with pytest.raises(UserCodeError):
        run(Telling, tmp_path, log=lines.append)
    assert lines == [str(tmp_path / "tmp"), f"{tmp_path}/in/m -500.0", "ours:"]


def test_what_the_command_leaves_running_ends_with_it(tmp_path: Path) -> None:
    """In the background, and in a session of its own."""

    class Leaving(Segmenting):
        command = ["sh", "-c", "(setsid sleep 600 & echo $! >$0/a); sleep 600 & echo $! >$0/b; exit 1", "{out}"]

    with pytest.raises(UserCodeError):
        run(Leaving, tmp_path)
    pids = [int((tmp_path / "out" / name).read_text()) for name in "ab"]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


_KILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from derived_series.pipelines.supervised import Command, run
folder = Path(sys.argv[1])
script = "trap '' TERM; (setsid sleep 600 & echo $! >a); echo $$ >b; sleep 600"
run(Command(["sh", "-c", script], folder, remove=[folder]), print)
"""


@pytest.mark.slow
def test_a_killed_worker_leaves_no_process_and_no_file_of_its_command(tmp_path: Path) -> None:
    """One that does not listen to SIGTERM, with a child in a session of its own."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", _KILLED, str(folder), *sys.path], start_new_session=True) as worker:
        end = time.monotonic() + 30
        while not all((folder / name).exists() and (folder / name).read_text() for name in "ab"):
            assert time.monotonic() < end and worker.poll() is None
            time.sleep(0.05)
        pids = [int((folder / name).read_text()) for name in "ab"]
        os.killpg(worker.pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while (folder.exists() or any(Path(f"/proc/{pid}").exists() for pid in pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not folder.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_command_and_its_container_end_when_a_service_manager_ends_all_processes(tmp_path: Path) -> None:
    """systemd sends SIGTERM to each process of a service; a container is a process of another one."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    script = "trap '' TERM; echo $PPID >parent; while :; do sleep 0.05; done"
    command = Command(
        ["sh", "-c", script], folder, remove=[folder], cleanup=[["touch", str(tmp_path / "removed")]], name="it"
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_supervised, command, lambda line: None)
        soon(lambda: (folder / "parent").exists() and bool((folder / "parent").read_text().strip()), seconds=30.0)
        os.kill(int((folder / "parent").read_text()), signal.SIGTERM)
        with pytest.raises(UserCodeError, match="it was ended"):
            running.result(30)
    assert (tmp_path / "removed").exists() and not folder.exists()
