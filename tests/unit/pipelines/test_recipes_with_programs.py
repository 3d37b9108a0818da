"""The recipes of docs/recipes.md that run other programs: published command lines, MRtrix, elastix."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset

from building import build, parent_of, stored, volume, written
from derived_series import ParentSeries, segments_from
from derived_series.pipelines import Library
from diffusion import ANISOTROPY, DIFFUSIVITY, diffusion_phantom
from phantoms import ct_phantom
from recipes_page import ENVIRONMENTS, masks_of, path_with, run_recipe, write_programs
from shared_data import needs_series, series_folder
from stand_in_nnunet import HU
from stand_in_total_segmentator import STRUCTURES
from test_recipes import n4_holds, parent

pytestmark = pytest.mark.recipe
pytest_plugins = ["recipe_fixtures"]

PYTHON = ENVIRONMENTS / "commands" / "bin" / "python"
CT: list[Any] = ["oblique", "ct ge 5 slices", pytest.param("head", marks=needs_series("ct_axial_head_philips"))]


def ct_of(name: str) -> ParentSeries:
    return ParentSeries.from_folder(series_folder("ct_axial_head_philips")) if name == "head" else parent(name)


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_with(write_programs(tmp_path / "programs", PYTHON)))


@pytest.mark.parametrize("name", CT)
def test_the_published_command_line_of_total_segmentator(recipes: Library, name: str, tmp_path: Path) -> None:
    ct = ct_of(name)
    results = run_recipe(recipes, "total_segmentator", tmp_path / "work", {"ct": ct}, Fast=True)
    (dataset,) = written(results.series["seg"])
    masks, voxels = masks_of(dataset, ct), ct.voxels()
    wanted = {each: (voxels >= low) & (voxels < high) for each, (_, low, high) in STRUCTURES.items()}
    wanted = {each: mask for each, mask in wanted.items() if mask.any()}
    assert len(wanted) > 1 and set(masks) == set(wanted)
    assert all(np.array_equal(masks[each], wanted[each]) for each in wanted)


def test_the_published_command_line_refuses_what_it_has_not() -> None:
    """It is the package's: it knows its own options and no others."""
    done = subprocess.run(["TotalSegmentator", "--no-such-option"], capture_output=True, text=True)
    assert done.returncode == 2 and "ROI_SUBSET_ROBUST" in done.stderr
    done = subprocess.run(["nnUNetv2_predict", "-i", "x"], capture_output=True, text=True)
    assert done.returncode == 2 and "--save_probabilities" in done.stderr


def test_the_names_of_the_published_package_are_those_of_our_table() -> None:
    """Number and name of each of its 117 structures."""
    script = "from totalsegmentator.map_to_binary import class_map as c; [print(n, t) for n, t in c['total'].items()]"
    lines = subprocess.run([PYTHON, "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    ct = parent_of(ct_phantom(1, 12, 12))
    numbers = np.arange(144).reshape(1, 12, 12)
    series = build(ct, np.where(numbers < 118, numbers, 0), segments_from("totalsegmentator"), blueprint="segmentation")
    (dataset,) = written(series)
    names = [str(item.SegmentLabel) for item in dataset.SegmentSequence]
    assert len(names) == 117 and [line.split(" ", 1)[1] for line in lines] == names


@pytest.mark.parametrize("name", CT)
def test_the_published_command_line_of_nnunet(recipes: Library, name: str, tmp_path: Path) -> None:
    ct = ct_of(name)
    (dataset,) = written(run_recipe(recipes, "abdomen", tmp_path / "work", {"ct": ct}).series["seg"])
    masks, voxels = masks_of(dataset, ct), ct.voxels()
    for label, number in (("Liver", 1), ("Spleen", 2)):
        low, high = HU[number]
        assert np.array_equal(masks[label], (voxels >= low) & (voxels < high))
    assert masks["Liver"].any() and not masks["Liver"].all()


@needs_series("mr_sag_mprage_siemens")
def test_n4_of_a_real_series(recipes: Library, tmp_path: Path) -> None:
    n4_holds(recipes, ParentSeries.from_folder(series_folder("mr_sag_mprage_siemens")), tmp_path)


def floats_of(dataset: Dataset) -> npt.NDArray[np.float32]:
    """The values of a parametric map, (slice, row, column)."""
    values = np.frombuffer(dataset.FloatPixelData, "<f4")
    return values.reshape(int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns)


def tensor_holds(results: Mapping[str, Dataset], parent: ParentSeries, brain: Any, left: Any) -> None:
    """The maps of ``diffusion_phantom()``: one half is as anisotropic as it is known to be, the other is not."""
    assert set(results) == {"fa", "md", "mask"}
    mask = masks_of(results["mask"], parent)["Brain"]
    assert (mask & brain).sum() > 0.8 * brain.sum() and (mask & ~brain).sum() < 0.1 * brain.sum()
    anisotropy, diffusivity = floats_of(results["fa"]), floats_of(results["md"])
    inside = mask & brain
    assert np.abs(anisotropy[inside & left] - ANISOTROPY).max() < 0.02
    assert anisotropy[inside & ~left].max() < 0.02
    assert np.abs(diffusivity[inside] / DIFFUSIVITY - 1).max() < 0.02
    assert not anisotropy[~mask].any() and not diffusivity[~mask].any()


def by_mrtrix(recipes: Library, parent: ParentSeries, folder: Path) -> dict[str, Dataset]:
    results = run_recipe(recipes, "mrtrix_tensor", folder / "work", {"dwi": parent})
    return {name: written(series)[0] for name, series in results.series.items()}


def test_the_tensor_of_mrtrix(recipes: Library, tmp_path: Path) -> None:
    dwi, brain, left = diffusion_phantom()
    parent = parent_of(dwi)
    tensor_holds(by_mrtrix(recipes, parent, tmp_path), parent, brain, left)


@needs_series("mr_dti_toshiba_4d_12sl")
def test_the_tensor_of_mrtrix_of_a_real_series(recipes: Library, tmp_path: Path) -> None:
    parent = ParentSeries.from_folder(series_folder("mr_dti_toshiba_4d_12sl"))
    results = by_mrtrix(recipes, parent, tmp_path)
    anisotropy, diffusivity = floats_of(results["fa"]), floats_of(results["md"])
    mask = masks_of(results["mask"], parent)["Brain"]
    assert anisotropy.shape == parent.shape[-3:] and mask.mean() > 0.05
    assert 0 < np.median(anisotropy[mask]) < 0.6 and 3e-4 < np.median(diffusivity[mask]) < 3e-3


def test_the_registration_of_elastix(recipes: Library, tmp_path: Path) -> None:
    """The prior study is moved by some millimetres, and lacks slices: after it, both are the same."""
    datasets = ct_phantom(16, 40, 36, spacing=3.0)
    before = ct_phantom(16, 40, 36, spacing=3.0, study="before", series="before")[2:]
    for dataset in before:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [float(x) + 4, float(y) - 3, float(z) + 5]
    now, prior = parent_of(datasets), parent_of(before)
    results = run_recipe(recipes, "registration", tmp_path / "work", {"now": now, "before": prior})
    moved, wanted = volume(results.series["moved"]), now.voxels()
    inner = np.s_[3:-1, 4:-4, 4:-4]
    unmoved = np.abs(prior.voxels()[1:-1, 4:-4, 4:-4] - wanted[1:-3, 4:-4, 4:-4]).mean()
    assert np.abs(moved[inner] - wanted[inner]).mean() < 0.3 * unmoved
    (first, *_) = written(results.series["moved"])
    (study,) = first.StudiesContainingOtherReferencedInstancesSequence
    assert study.StudyInstanceUID == prior.study_instance_uid
    assert stored(first).shape == wanted.shape[1:]
