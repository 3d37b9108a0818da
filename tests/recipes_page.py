"""Runs the recipes of docs/recipes.md: its files in a blueprint folder, and the programs of its commands."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

import stand_in_bet
import stand_in_nnunet
import stand_in_total_segmentator
from building import LIBRARY, REPOSITORY
from derived_series import BuildContext, ParentSeries
from derived_series.pipelines import Library
from derived_series.pipelines.run import Options, Results, run_outputs
from derived_series.pipelines.workplace import Workplace

#: The environments of scripts/recipes.py.
ENVIRONMENTS = REPOSITORY / ".run" / "recipes"


def recipe_files() -> dict[str, str]:
    """The files of the page, by name."""
    page = (REPOSITORY / "docs" / "recipes.md").read_text("utf-8")
    blocks = re.findall(r'^```\w+ title="([\w.]+)"\n(.*?)^```$', page, re.DOTALL | re.MULTILINE)
    assert len(dict(blocks)) == len(blocks) == page.count("\n```") // 2
    return dict(blocks)


def write_recipes(folder: Path) -> Path:
    """Write all files of the page into a folder, with the models that they name."""
    folder.mkdir(exist_ok=True)
    for name, text in recipe_files().items():
        (folder / name).write_text(text)
    stand_in_nnunet.trained_model(folder / "nnunet")
    for name in ("liver_model.onnx", "liver_bundle"):  # for who makes none: their contents are hashed when they load
        (folder / name).touch()
    return folder


def write_programs(folder: Path, python: Path | None = None) -> Path:
    """Write a folder for PATH. :param python: a Python with the published packages, whose command lines come first."""
    folder.mkdir(exist_ok=True)
    programs = {
        "TotalSegmentator": stand_in_total_segmentator,
        "nnUNetv2_predict": stand_in_nnunet,
        "bet": stand_in_bet,
    }
    for name, module in programs.items():
        is_published = python is not None and module is not stand_in_bet
        words = [str(python if is_published else sys.executable), str(module.__file__), *["--published"] * is_published]
        (folder / name).write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def path_with(folder: Path) -> str:
    """PATH with the programs of a folder first, then those of our own Python."""
    return os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])


def library(folder: Path) -> Library:
    """The recipes of a folder, with the ready blueprints."""
    loaded = Library.load([folder])
    assert not loaded.problems, loaded.problems
    return Library(LIBRARY.blueprints, loaded.pipelines, LIBRARY.factories, ())


def run_recipe(
    recipes: Library, name: str, work: Path, parents: Mapping[str, ParentSeries], **parameters: Any
) -> Results:
    """The result of a recipe, without a server."""
    work.mkdir(exist_ok=True)
    context = BuildContext(uid_seed="recipe")
    return run_outputs(recipes, name, dict(parents), parameters, Options(), context, Workplace(work))


def masks_of(dataset: Dataset, parent: ParentSeries) -> dict[str, npt.NDArray[np.bool_]]:
    """The segments of a segmentation by label, (slice, row, column) of the parent's volume, read by highdicom."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    segmentation = highdicom.seg.segread(io.BytesIO(buffer.getvalue()))
    uids = [instance.SOPInstanceUID for instance in parent.instances[: parent.slices_per_volume]]
    masks = {}
    for number in segmentation.segment_numbers:
        planes = segmentation.get_pixels_by_source_instance(
            uids, segment_numbers=[number], assert_missing_frames_are_empty=True
        )
        masks[str(segmentation.get_segment_description(number).SegmentLabel)] = planes[..., 0] > 0
    return masks
