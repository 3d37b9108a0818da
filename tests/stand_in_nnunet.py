"""nnUNetv2_predict with thresholds in place of its network; models, cases and results are where the real one has them.

As a script it has the options that the recipe uses. `--published` uses the package's own command line, and its own
search for the model and the cases.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np

#: The dataset.json of a trained model.
DATASET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "spleen": 2}, "file_ending": ".nii.gz"}
#: The ranges of HU for the labels: from, and below.
HU = {1: (0.0, 100.0), 2: (100.0, 5000.0)}

#: Packages that are not installed with it.
LEFT_OUT = {
    *("SimpleITK", "acvl_utils", "blosc2", "dynamic_network_architectures", "pandas", "scipy", "skimage"),
    *("threadpoolctl", "tifffile", "torch"),
}

TRAINED = "nnUNetTrainer__nnUNetPlans__3d_fullres"


def trained_model(folder: Path) -> None:
    """A folder of models with one that was "trained"."""
    model = folder / "Dataset700_Abdomen" / TRAINED
    (model / "fold_0").mkdir(parents=True)
    (model / "fold_0" / "checkpoint_final.pth").write_bytes(b"weights")
    (model / "dataset.json").write_text(json.dumps(DATASET))
    (model / "plans.json").write_text("{}")


def predict(channels: Sequence[str | Path], target: str | Path) -> None:
    """Segment one case; :param target: without its suffix."""
    image: Any = nib.load(channels[0])
    values = image.get_fdata()
    labels = np.zeros(values.shape, np.uint8)
    for label, (low, high) in HU.items():
        labels[(values >= low) & (values < high)] = label
    nib.Nifti1Image(labels, image.affine).to_filename(f"{target}.nii.gz")


class Anything(type):
    """A class with every attribute, for unused things of packages that are not installed."""

    def __getattr__(cls, name: str) -> Any:
        return thing(name)


def thing(name: str) -> Any:
    """A thing that can be called, be a base class, or decorate a function without changing it."""
    if name.startswith("__"):
        raise AttributeError(name)

    def call(self: Any, *arguments: Any) -> Any:
        return arguments[0] if arguments else self

    return Anything(name, (), {"__init__": lambda self, *_, **__: None, "__call__": call})


class Absent(ModuleType):
    """A module of such a package."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return thing(name)


class AbsentPackages:
    """Provides modules that the package imports, but its command line does not use."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        is_known = name.partition(".")[0] in LEFT_OUT
        return importlib.util.spec_from_loader(name, self) if is_known else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Absent(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing."""


def published() -> None:
    """The command line of the package, with another predictor."""
    sys.meta_path.append(AbsentPackages())
    from nnunetv2.inference import predict_from_raw_data

    class Predictor(predict_from_raw_data.nnUNetPredictor):  # type: ignore[misc]
        def __init__(self, **options: object) -> None:
            pass

        def initialize_from_trained_model_folder(
            self, folder: str, use_folds: Sequence[int], checkpoint_name: str
        ) -> None:
            assert all((Path(folder) / f"fold_{fold}" / checkpoint_name).exists() for fold in use_folds)
            self.dataset_json = json.loads((Path(folder) / "dataset.json").read_text())

        def predict_from_files(self, source: str, target: str, **options: object) -> None:
            cases, targets, _ = self._manage_input_and_output_lists(source, target)
            assert len(cases) == 1
            for channels, each in zip(cases, targets, strict=True):
                predict(channels, each)
            (Path(target) / "dataset.json").write_text(json.dumps(self.dataset_json))

    predict_from_raw_data.nnUNetPredictor = Predictor
    predict_from_raw_data.predict_entry_point()


def main() -> None:
    if sys.argv[1:2] == ["--published"]:
        del sys.argv[1]
        published()
        return
    parser = argparse.ArgumentParser()
    for option in "iodcf":
        parser.add_argument(f"-{option}", required=True)
    options = parser.parse_args()
    results = Path(os.environ["nnUNet_results"])  # noqa: SIM112  # so the program calls it
    (model,) = results.glob(f"Dataset{int(options.d):03d}_*/nnUNetTrainer__nnUNetPlans__{options.c}")
    assert (model / f"fold_{options.f}" / "checkpoint_final.pth").exists()
    for file in Path(options.i).glob("*_0000.nii.gz"):
        predict([file], Path(options.o) / file.name.removesuffix("_0000.nii.gz"))
    (Path(options.o) / "dataset.json").write_text((model / "dataset.json").read_text())


if __name__ == "__main__":
    main()
