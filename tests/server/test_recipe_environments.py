"""The recipes of docs/recipes.md that have a Python of their own, in one real Orthanc."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import correlate

from building import REPOSITORY, parent_of, real
from derived_series import ParentSeries
from diffusion import diffusion_phantom
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from recipes_page import ENVIRONMENTS, masks_of, write_recipes
from server_fixtures import derive, finished, submit
from shared_data import needs_series, series_datasets
from test_recipes_with_programs import floats_of, tensor_holds
from waiting import soon

pytestmark = pytest.mark.recipe

#: Writes a network of one convolution of 3 x 3 x 3 voxels, whose weights differ, and of two classes.
ONNX = """
import sys, numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
kernel = np.stack([np.zeros(27), np.arange(27) / 351]).reshape(2, 1, 3, 3, 3).astype(np.float32)
bias = np.array([40, 0], np.float32)
shape = [1, 1, "slice", "row", "column"]
graph = helper.make_graph(
    [helper.make_node("Conv", ["image", "kernel", "bias"], ["scores"], pads=[1] * 6)],
    "liver",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, *shape[2:]])],
    [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(bias, "bias")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, sys.argv[1])
"""

#: The configuration of a bundle as those of the model zoo are: what its own transforms, inferer and evaluator are.
INFERENCE = {
    "imports": ["$import glob"],
    "bundle_root": ".",
    "output_dir": "$@bundle_root + '/eval'",
    "dataset_dir": "/workspace/data",
    "datalist": "$list(sorted(glob.glob(@dataset_dir + '/imagesTs/*.nii.gz')))",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": {
        **{"_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2},
        **{"channels": [4, 8], "strides": [2], "num_res_units": 1, "norm": "batch"},
    },
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
            {
                **{"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -57, "a_max": 164},
                **{"b_min": 0, "b_max": 1, "clip": True},
            },
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @datalist]", "transform": "@preprocessing"},
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 8], "sw_batch_size": 4, "overlap": 0.5},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {
                **{"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"},
                **{"nearest_interp": False, "to_tensor": True},
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
        ],
    },
    "handlers": [
        {
            **{"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/models/model.pt'"},
            "load_dict": {"model": "@network"},
        }
    ],
    "evaluator": {
        **{"_target_": "SupervisedEvaluator", "device": "@device", "val_data_loader": "@dataloader"},
        **{"network": "@network", "inferer": "@inferer", "postprocessing": "@postprocessing"},
        "val_handlers": "@handlers",
    },
    "run": ["$@evaluator.run()"],
}
METADATA = {"version": "0.1.0", "monai_version": "1.6.1", "task": "liver", "name": "liver_bundle"}

#: Writes the bundle's network with random weights.
WEIGHTS = """
import sys, torch
from monai.bundle import ConfigParser
torch.manual_seed(3)
parser = ConfigParser()
parser.read_config(sys.argv[1] + "/configs/inference.json")
torch.save(parser.get_parsed_content("network_def").state_dict(), sys.argv[1] + "/models/model.pt")
"""

#: What that network says of an array (column, row, slice) that lies in the patient as it is: no file, no transform.
EXPECTED = """
import sys, numpy as np, torch
from monai.bundle import ConfigParser
from monai.inferers import sliding_window_inference
parser = ConfigParser()
parser.read_config(sys.argv[1] + "/configs/inference.json")
network = parser.get_parsed_content("network_def")
network.load_state_dict(torch.load(sys.argv[1] + "/models/model.pt"))
image = torch.from_numpy(np.load(sys.argv[2]))[None, None]
with torch.no_grad():
    scores = sliding_window_inference(image, (16, 16, 8), 4, network.eval(), overlap=0.5)
np.save(sys.argv[3], scores[0].softmax(0).numpy())
"""

NUMPYS = '''
"""Two pipelines of which each runs with its own numpy alone."""

from derived_series import derivation
from derived_series.pipelines import Pipeline


class Old(Pipeline):
    """Has what numpy 2 has taken away."""

    environment = "onnx"

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("plus", "PixelByPixelAddition")

    def process(self, container):
        import numpy as np

        print(f"{type(self).__name__} runs with numpy {np.__version__}")
        return container["parent"].voxels() + np.float_(1)


class New(Old):
    """Has what numpy 1 had not."""

    environment = "dipy"

    def process(self, container):
        import numpy as np

        print(f"{type(self).__name__} runs with numpy {np.__version__}")
        return container["parent"].voxels() + np.bitwise_count(np.uint8(3))
'''


def program(name: str, script: str, *arguments: Path) -> None:
    """Run a script in an environment."""
    subprocess.run([ENVIRONMENTS / name / "bin" / "python", "-c", script, *arguments], check=True, timeout=600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipes with their models."""
    folder = tmp_path_factory.mktemp("recipes") / "blueprints"
    bundle = folder / "liver_bundle"
    for each in ("configs", "models"):
        (bundle / each).mkdir(parents=True)
    (bundle / "configs" / "inference.json").write_text(json.dumps(INFERENCE))
    (bundle / "configs" / "metadata.json").write_text(json.dumps(METADATA))
    program("torch", WEIGHTS, bundle)
    program("onnx", ONNX, folder / "liver_model.onnx")
    (folder / "numpys.py").write_text(NUMPYS)
    return write_recipes(folder)


@pytest.fixture(scope="module")
def server(orthanc_installed: None, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    """One Orthanc with all recipes and their environments."""
    python = {name: {"Python": str(ENVIRONMENTS / name / "bin" / "python")} for name in ("dipy", "onnx", "torch")}
    folders = [str(REPOSITORY / "blueprints"), str(folder)]
    section = {"Workers": 1, "BlueprintFolders": folders, "Environments": python}
    with OrthancServer(tmp_path_factory.mktemp("orthanc"), {"DerivedSeries": section}) as started:
        yield started


CT = ct_phantom(8, 20, 24)


@pytest.fixture(scope="module")
def ct(server: OrthancServer) -> str:
    return server.upload(CT)


def test_every_recipe_is_listed(server: OrthancServer) -> None:
    status = server.json("/derived-series/status")
    assert status["Problems"] == []
    listed = {each["Name"]: each["Environment"] for each in server.json("/derived-series/pipelines?expand")}
    wanted = {"tensor": "dipy", "liver_model": "onnx", "liver_bundle": "torch", "total_segmentator": None}
    assert {name: listed[name] for name in wanted} == wanted


def test_the_onnx_model_is_loaded_once(server: OrthancServer, ct: str) -> None:
    """What its one convolution is by scipy, (slice, row, column); three jobs, one session."""
    jobs = [submit(server, ct, Pipeline="liver_model", IfExists="New") for _ in range(3)]
    ends = [finished(server, job) for job in jobs]
    assert [end["State"] for end in ends] == ["Success"] * 3, [end.get("Error") for end in ends]
    parent = parent_of(CT)
    (dataset,) = server.download(ends[0]["Content"]["Result"]["ID"])
    kernel = np.arange(27).reshape(3, 3, 3) / 351
    scores = correlate(np.clip(parent.voxels(), -200, 300).astype(np.float64), kernel, mode="constant") - 40
    liver = masks_of(dataset, parent)["Liver"]
    sure = np.abs(scores) > 0.01
    assert np.array_equal(liver[sure], scores[sure] > 0) and liver.any() and not liver.all()
    (process,) = server.json("/derived-series/status")["Environments"]["onnx"]["Processes"]
    assert [each["Pipeline"] for each in process["Prepared"]] == ["liver_model"]


def test_the_monai_bundle(server: OrthancServer, ct: str, folder: Path, tmp_path: Path) -> None:
    parent = parent_of(CT)
    # This CT is axial: its columns and rows run to the left and back, RAS to the right and front.
    image = parent.voxels().T[::-1, ::-1]
    np.save(tmp_path / "image.npy", np.ascontiguousarray(np.clip((image + 57) / 221, 0, 1), np.float32))
    program("torch", EXPECTED, folder / "liver_bundle", tmp_path / "image.npy", tmp_path / "scores.npy")
    scores = np.load(tmp_path / "scores.npy")[:, ::-1, ::-1].transpose(0, 3, 2, 1)
    answer = derive(server, ct, Pipeline="liver_bundle")
    (dataset,) = server.download(answer["ID"])
    liver = masks_of(dataset, parent)["Liver"]
    sure = np.abs(scores[1] - scores[0]) > 1e-3
    assert np.array_equal(liver[sure], (scores[1] > scores[0])[sure])
    assert 0.02 < liver.mean() < 0.98 and sure.mean() > 0.95


def outputs(server: OrthancServer, answer: Any) -> dict[str, Any]:
    return {each["Output"]: server.download(each["ID"])[0] for each in answer["Series"]}


def test_the_tensor_of_dipy(server: OrthancServer) -> None:
    """On a phantom whose tensors are known; three series of one job."""
    datasets, brain, left = diffusion_phantom()
    answer = derive(server, server.upload(datasets), Pipeline="tensor")
    tensor_holds(outputs(server, answer), parent_of(datasets), brain, left)


@needs_series("mr_dti_toshiba_4d_12sl")
def test_the_tensor_of_dipy_of_a_real_series(server: OrthancServer) -> None:
    datasets = series_datasets("mr_dti_toshiba_4d_12sl")
    series = outputs(server, derive(server, server.upload(datasets), Pipeline="tensor"))
    parent = ParentSeries.from_datasets(datasets)
    mask = masks_of(series["mask"], parent)["Brain"]
    anisotropy, diffusivity = floats_of(series["fa"]), floats_of(series["md"])
    assert anisotropy.shape == parent.shape[-3:] and mask.mean() > 0.05
    assert 0 < np.median(anisotropy[mask]) < 0.6 and 3e-4 < np.median(diffusivity[mask]) < 3e-3


def test_two_numpys_that_exclude_each_other_in_one_orthanc(server: OrthancServer, ct: str) -> None:
    stored = {}
    for name in ("old", "new"):
        downloaded = server.download(derive(server, ct, Pipeline=name)["ID"])
        stored[name] = np.sort([real(dataset).sum() for dataset in downloaded])
    parents = np.sort([real(dataset).sum() + dataset.Rows * dataset.Columns for dataset in CT])
    assert np.allclose(stored["old"], parents) and np.allclose(stored["new"], parents + 20 * 24)
    versions = ("Old runs with numpy 1.26.4", "New runs with numpy 2.")
    soon(lambda: all(words in server.log() for words in versions))
