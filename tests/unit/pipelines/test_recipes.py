"""The recipes of docs/recipes.md that need nothing beyond our own virtual environment, on phantoms and real series."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

import container_images
import recipes_page
from building import REPOSITORY, parent_of, volume, written
from derived_series import ParentSeries
from derived_series.pipelines import Library, Value
from package_files import package_series
from phantoms import ct_phantom, mr_phantom
from recipes_page import library, masks_of, path_with, run_recipe, write_programs
from stand_in_bet import brain_mask
from stand_in_nnunet import HU
from stand_in_total_segmentator import STRUCTURES

pytestmark = pytest.mark.slow
pytest_plugins = ["recipe_fixtures"]

#: Series by name: phantoms, and real ones that come with packages.
CT = ["oblique", "ct ge 5 slices"]
MR = ["sagittal", "mr"]


def parent(name: str) -> ParentSeries:
    if name == "oblique":
        return parent_of(ct_phantom(6, 20, 16, orientation="oblique"))
    if name == "sagittal":
        return parent_of(mr_phantom(8, 32, 24))
    return ParentSeries.from_bytes(path.read_bytes() for path in package_series(name))


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_with(write_programs(tmp_path / "programs")))


def test_every_file_of_the_page_is_loaded(recipes: Library) -> None:
    files = {name for name in recipes_page.recipe_files() if name.endswith(".py")}
    assert {pipeline.file.name for pipeline in recipes.pipelines.values()} == files


def segmented(series: Any, of: ParentSeries) -> dict[str, Any]:
    (dataset,) = written(series)
    return masks_of(dataset, of)


@pytest.mark.parametrize("name", CT)
def test_total_segmentator(recipes: Library, name: str, tmp_path: Path) -> None:
    ct = parent(name)
    results = run_recipe(recipes, "total_segmentator", tmp_path / "work", {"ct": ct}, Fast=True)
    masks = segmented(results.series["seg"], ct)
    voxels = ct.voxels()
    wanted = {each: (voxels >= low) & (voxels < high) for each, (_, low, high) in STRUCTURES.items()}
    wanted = {each: mask for each, mask in wanted.items() if mask.any()}
    assert len(wanted) > 1 and set(masks) == set(wanted)
    assert all(np.array_equal(masks[each], wanted[each]) for each in wanted)
    (dataset,) = written(results.series["seg"])
    (liver,) = (item for item in dataset.SegmentSequence if item.SegmentLabel == "liver")
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"


def test_the_command_of_the_readme(tmp_path: Path) -> None:
    text = (REPOSITORY / "README.md").read_text("utf-8")
    (block,) = (each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "CommandPipeline" in each)
    assert len(block.splitlines()) <= 15
    (tmp_path / "blueprints").mkdir()
    (tmp_path / "blueprints" / "block.py").write_text(block)
    ct = parent("oblique")
    loaded = library(tmp_path / "blueprints")
    (dataset,) = written(run_recipe(loaded, "total_segmentator", tmp_path / "work", {"ct": ct}).series["seg"])
    voxels = ct.voxels()
    for number, low, high in STRUCTURES.values():
        (mask,) = (mask for label, mask in masks_of(dataset, ct).items() if label.endswith(f" {number}"))
        assert np.array_equal(mask, (voxels >= low) & (voxels < high)) and mask.any()


@pytest.mark.parametrize("name", CT)
def test_nnunet(recipes: Library, name: str, tmp_path: Path) -> None:
    ct = parent(name)
    masks = segmented(run_recipe(recipes, "abdomen", tmp_path / "work", {"ct": ct}).series["seg"], ct)
    voxels = ct.voxels()
    for label, number in (("Liver", 1), ("Spleen", 2)):
        low, high = HU[number]
        assert np.array_equal(masks[label], (voxels >= low) & (voxels < high))
    assert masks["Liver"].any() and not masks["Liver"].all()


@pytest.mark.parametrize("name", MR)
def test_bet_stands_in_for_fsl(recipes: Library, name: str, tmp_path: Path) -> None:
    mr = parent(name)
    results = run_recipe(recipes, "brain", tmp_path / "work", {"mr": mr}, Fraction=0.3)
    wanted = brain_mask(mr.voxels(), 0.3)
    assert wanted.any() and not wanted.all()
    assert np.array_equal(segmented(results.series["mask"], mr)["Brain"], wanted)
    assert np.allclose(volume(results.series["brain"]), mr.voxels() * wanted, atol=0.5)


@pytest.mark.parametrize("name", MR)
def test_dcm2niix_reads_the_files_as_they_are_stored(recipes: Library, name: str, tmp_path: Path) -> None:
    mr = parent(name)
    results = run_recipe(recipes, "converted", tmp_path / "work", {"files": mr})
    assert np.allclose(volume(results.series["converted"]), mr.voxels(), rtol=1e-5, atol=0.01)


def n4_by_simpleitk(mr: ParentSeries, folder: Path) -> Any:
    """The filter of the recipe on the files as SimpleITK itself reads them, (slice, row, column)."""
    image = sitk.ReadImage(sorted(map(str, mr.save_dicom(folder)), key=_place), sitk.sitkFloat32)
    factors = [max(1, size // 64) for size in image.GetSize()]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.Execute(sitk.Shrink(image, factors), sitk.Shrink(sitk.OtsuThreshold(image, 0, 1), factors))
    return sitk.GetArrayFromImage(image / sitk.Exp(n4.GetLogBiasFieldAsImage(image)))


def _place(file: str) -> float:
    dataset = dcmread(file, stop_before_pixels=True)
    row, column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
    return float(np.cross(row, column) @ np.array(dataset.ImagePositionPatient, float))


def n4_holds(recipes: Library, mr: ParentSeries, folder: Path) -> None:
    wanted = n4_by_simpleitk(mr, folder / "files")
    corrected = volume(run_recipe(recipes, "bias_correction", folder / "work", {"mr": mr}).series["result"])
    atol = 1 + 0.001 * float(wanted.max())
    assert np.allclose(corrected, wanted, rtol=0.01, atol=atol)
    assert not np.allclose(corrected, mr.voxels(), rtol=0.01, atol=atol)


def test_n4_is_what_simpleitk_makes_of_the_files(recipes: Library, tmp_path: Path) -> None:
    n4_holds(recipes, parent("sagittal"), tmp_path)


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = container_images.missing()
    assert lacking is None, f"{lacking} is not installed: apt-get install podman runc busybox-static"
    for name, value in container_images.variables(tmp_path).items():
        monkeypatch.setenv(name, value)


#: What both contracts have in common: each file again, with another ImageType.
AGAIN = """
for file in $(find "$IN" -name '*.dcm'); do sed 's/ORIGINAL/DERIVED\\\\/' "$file" >"$OUT/${file##*/}"; done
"""


def test_a_module_of_mercure(images: None, recipes: Library, tmp_path: Path) -> None:
    script = (
        'IN="$MERCURE_IN_DIR" OUT="$MERCURE_OUT_DIR"; grep -q \'"Level": "high"\' "$IN/task.json" || exit 3\n' + AGAIN
    )
    script += 'echo \'{"volume": 12.5}\' >"$OUT/result.json"\n'
    container_images.image("our-module:1", {"run.sh": script}, {"ENTRYPOINT": ["/bin/sh", "/run.sh"]})
    ct = parent("ct ge 5 slices")
    results = run_recipe(recipes, "our_module", tmp_path / "work", {"parent": ct}, Level="high")
    assert np.array_equal(volume(results.series["result"]), ct.voxels()) and results.values == {"volume": Value(12.5)}
    assert container_images.containers("localhost/our-") == []


def test_a_monai_application_package(images: None, recipes: Library, tmp_path: Path) -> None:
    manifests = {
        "etc/holoscan/app.json": '{"command": ["/bin/sh", "/run.sh"], "workingDirectory": "/var/holoscan"}',
        "etc/holoscan/pkg.json": '{"resources": {"cpu": 1, "gpu": 0, "memory": "1Gi"}}',
    }
    script = 'IN="$HOLOSCAN_INPUT_PATH" OUT="$HOLOSCAN_OUTPUT_PATH"\n' + AGAIN
    container_images.image("our-package:1", {**manifests, "run.sh": script}, {"ENTRYPOINT": ["/bin/false"]})
    ct = parent("ct ge 5 slices")
    results = run_recipe(recipes, "our_package", tmp_path / "work", {"parent": ct})
    assert np.array_equal(volume(results.series["result"]), ct.voxels())
