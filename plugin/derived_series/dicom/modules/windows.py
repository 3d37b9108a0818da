"""Choosing the window in which an image is first displayed (PS3.3 C.11.2.1.2): the parent's if it suits, else its own.

LINEAR, the default VOILUTFunction, shows width - 1 values and becomes a threshold at a width of 1. Windows of whole
numbers allow for that; values scaled from floats get LINEAR_EXACT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment
from derived_series.dicom.encoding.tags import to_tag
from derived_series.dicom.image.stored_pixels import StoredPixels
from derived_series.dicom.source.instances import telling
from derived_series.dicom.source.multiframe.frame import source_of
from derived_series.dicom.source.padding import padding_range
from derived_series.dicom.source.slices import ParentSlices
from derived_series.errors import InvalidParent

#: The attributes of a window.
KEYWORDS = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction")

#: The attributes that name the quantity of the values.
_UNIT = ("Modality", "Units", "SUVType", "RescaleType", "RealWorldValueMappingSequence")

#: The number of values in a sample.
_SAMPLES = 1 << 16
#: A value that this share of the sample has is padding or background.
_PLATEAU = 0.1
#: The percentiles of the rest that become black and white.
_BLACK, _WHITE = 1.0, 99.5
#: An image with so few different values is a mask or a label map, and the window shows each of them.
_FEW_VALUES = 32
#: The most different values of a mask without its background.
_MASK = 2
#: The number of slices in which values are compared with the parent's.
_COMPARED = 5
#: Values in the parent's unit differ from the parent's by less than this part of its spread, in the median, and are
#: correlated with them by more than this.
_ALIKE, _CORRELATED = 0.5, 0.5
#: If this share of the values equals the parent's, to a thousandth of its spread, they are in its unit.
_UNCHANGED, _SAME = 0.2, 1e-3
#: Values in the parent's unit are not larger or smaller than the parent's by this factor.
_SCALE = 10


@dataclass(frozen=True, slots=True)
class Window:
    """A window of values. :param exact: whether VOILUTFunction is LINEAR_EXACT; else it is LINEAR."""

    centre: float
    width: float
    exact: bool

    @property
    def function(self) -> str | None:
        """VOILUTFunction (0028,1056); None for the default."""
        return "LINEAR_EXACT" if self.exact else None


def displayed(
    values: npt.NDArray[Any], centre: float, width: float, function: str | None = None
) -> npt.NDArray[np.float64]:
    """Map values through a window, to 0 to 1 (PS3.3 C.11.2.1.2.1, C.11.2.1.3)."""
    x = np.asarray(values, np.float64)
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-4 * (x - centre) / width)))
    if function == "LINEAR_EXACT":
        return np.clip((x - centre) / width + 0.5, 0, 1)
    if width <= 1:
        return np.asarray(x > centre - 0.5, np.float64)
    return np.clip((x - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def windows_of(dataset: Dataset) -> list[tuple[float, float]]:
    """The (centre, width) pairs of an instance; empty if they are missing or invalid."""
    centres, widths = (_numbers(dataset.get(keyword)) for keyword in KEYWORDS[:2])
    function = dataset.get("VOILUTFunction") or "LINEAR"
    exact = function in ("LINEAR_EXACT", "SIGMOID")
    if (
        not (exact or function == "LINEAR")
        or len(centres) != len(widths)
        or not all(width > 0 if exact else width >= 1 for width in widths)
    ):
        return []
    return list(zip(centres, widths, strict=True))


def _numbers(value: Any) -> list[float]:
    several = list(value) if isinstance(value, list | tuple | MultiValue) else [value]
    try:
        numbers = [float(one) for one in several]
    except (TypeError, ValueError):
        return []
    return numbers if np.all(np.isfinite(numbers)) else []


def keeps_parents(env: ImageEnvironment) -> bool:
    """Whether the parent's windows suit the image: modality and unit are the same, and the centre is among the values.

    A mask, or a map of another quantity, in the parent's class has another unit: its values are not like the parent's.
    """
    key = (keeps_parents, -1)
    if key not in env.value_cache:
        env.value_cache[key] = _keeps(env)
    return bool(env.value_cache[key])


def _keeps(env: ImageEnvironment) -> bool:
    if env.pixels.is_mask or not all(map(windows_of, _with_windows(env))):
        return False
    centre, _ = windows_of(_middle(env))[0]
    return env.pixels.low <= centre <= env.pixels.high and _has_parents_unit(env) and are_alike(env)


def _with_windows(env: ImageEnvironment) -> Sequence[Dataset]:
    """The parent's instances if their windows differ, else the one that stands for all."""
    return telling(env.parent.instances, env.parent.varying, *KEYWORDS)


def _middle(env: ImageEnvironment) -> Dataset:
    instances = _with_windows(env)
    return instances[len(instances) // 2]


def _has_parents_unit(env: ImageEnvironment) -> bool:
    """Whether modality and unit are the parent's, by the header; what it does not say is the parent's."""
    if env.header is None:
        return True
    pivot = env.parent.pivot
    for keyword in _UNIT:
        element = env.header.elements.get((int(to_tag(keyword)), ""))
        if element is None or element.is_empty:
            continue
        default = "HU" if keyword == "RescaleType" and env.parent.modality == "CT" else None
        if element.value != (pivot.get(keyword) or default):
            return False
    return True


def are_alike(env: ImageEnvironment) -> bool:
    """Whether the values are like the parent's at the same places; True if they cannot be compared."""
    image, parent = env.pixels.image, env.parent
    if not env.on_parent_grid or isinstance(image, ParentSlices) or "PixelData" not in source_of(parent.pivot):
        return True
    step = max(1, int(np.sqrt(env.pixels.rows * env.pixels.columns * _COMPARED / _SAMPLES)))
    mine, theirs = [], []
    try:
        compared = sorted(set(np.linspace(0, env.count - 1, _COMPARED).astype(int).tolist()))
        slices = parent.slices([env.sources[index][0] for index in compared])
        for number, index in enumerate(compared):
            mine.append(np.asarray(image[index])[::step, ::step].astype(np.float64))
            theirs.append(slices[number][::step, ::step])
    except InvalidParent:  # nothing here decodes its transfer syntax, and nobody asked for its pixels
        return True
    mine_flat, theirs_flat = np.stack(mine).ravel(), np.stack(theirs).ravel().astype(np.float64)
    if mine_flat.size != theirs_flat.size:
        return True  # in colour
    shown = np.isfinite(mine_flat) & np.isfinite(theirs_flat)
    labels = _are_few(mine_flat[shown], _FEW_VALUES) and _count(mine_flat[shown]) <= _count(theirs_flat[shown]) / 2
    background = _plateau(mine_flat[shown])
    if background is not None and np.any(shown & (mine_flat != background)):
        shown &= mine_flat != background
    mine_flat, theirs_flat = mine_flat[shown], theirs_flat[shown]
    if not mine_flat.size:
        return True
    if labels and _count(mine_flat) <= _MASK:
        return False
    return _are_of_one_unit(mine_flat, theirs_flat, labels=labels)


def _are_few(values: npt.NDArray[np.float64], most: int) -> bool:
    """Whether there are at most so many different values; for nearly every image the first few decide."""
    return _count(values[: most * most]) <= most and _count(values) <= most


def _count(values: npt.NDArray[np.float64]) -> int:
    return len(np.unique(values))


def _are_of_one_unit(mine: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64], *, labels: bool) -> bool:
    """Whether values are like others at the same places, and not multiples of them.

    :param labels: whether there are so few different values that they may be labels.
    """
    low, middle, high = np.percentile(theirs, [5, 50, 95])
    spread, difference = max(high - low, 0.1 * abs(middle)), np.abs(mine - theirs)
    if np.mean(difference <= _SAME * spread) >= _UNCHANGED:
        return True
    if np.median(difference) > _ALIKE * spread:
        return False
    if labels:
        return False
    size, their_size = (float(np.percentile(np.abs(values), 99)) for values in (mine, theirs))
    if not their_size / _SCALE <= size <= their_size * _SCALE:
        return False
    flat = mine.min() == mine.max() or theirs.min() == theirs.max()
    return flat or bool(np.corrcoef(mine, theirs)[0, 1] > _CORRELATED)


def _plateau(sample: npt.NDArray[np.float64]) -> float | None:
    """The value that a large share of the sample has; None if there is none."""
    if not sample.size:
        return None
    values, counts = np.unique(sample, return_counts=True)
    most = int(counts.argmax())
    return float(values[most]) if counts[most] >= _PLATEAU * sample.size else None


def parents_window(env: InstanceEnvironment) -> Dataset:
    """The parent's instance whose window a slice keeps: the one at the same place, or the middle one."""
    counterparts = env.counterparts
    return counterparts[0] if len(counterparts) == 1 else _middle(env.image_env)


def varies_by_instance(env: ImageEnvironment) -> bool:
    """Whether the parent's windows differ from slice to slice."""
    return len(_with_windows(env)) > 1


def own_window(env: ImageEnvironment) -> Window:
    """The window for the image's own values."""
    key = (own_window, -1)
    if key not in env.value_cache:
        env.value_cache[key] = window_of(env.pixels, _padding(env.parent.pivot))
    window: Window = env.value_cache[key]
    return window


def _padding(pivot: Dataset) -> tuple[float, float] | None:
    """The range of the parent's padding values, in its unit; None if it has none."""
    stored = padding_range(pivot)
    if stored is None:
        return None
    try:
        slope, intercept = float(pivot.get("RescaleSlope") or 1), float(pivot.get("RescaleIntercept") or 0)
    except (TypeError, ValueError):
        return None
    low, high = sorted(value * slope + intercept for value in stored)
    return low, high


def window_of(pixels: StoredPixels, padding: tuple[float, float] | None = None) -> Window:
    """Choose a window between robust percentiles of the values, without padding and background.

    :param padding: a range of values to ignore, both ends included.
    """
    whole = not pixels.rescaled
    low, high = _bounds(pixels, padding, whole)
    if low == high:
        low, high = pixels.low, pixels.high
    if low == high:
        return Window(low, 1.0, not whole)
    if whole:
        return Window((low + high + 1) / 2, high - low + 1, False)
    return Window((low + high) / 2, high - low, True)


def _bounds(pixels: StoredPixels, padding: tuple[float, float] | None, whole: bool) -> tuple[float, float]:
    sample = _sample(pixels.image)
    sample = sample[np.isfinite(sample)]  # the replacement of NaN counts as background
    left = sample if padding is None else sample[(sample < padding[0]) | (sample > padding[1])]
    background = _plateau(left)
    if background is not None:
        left = left[left != background]
        lowest = _plateau(left)
        if lowest is not None and lowest == left.min():
            left = left[left != lowest]
    few = _are_few(left, _FEW_VALUES)
    if left.size < 2 or (whole and few):
        return pixels.low, pixels.high
    black, white = (float(value) for value in np.percentile(left, [_BLACK, _WHITE]))
    return (float(np.floor(black)), float(np.ceil(white))) if whole else (black, white)


def _sample(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """A sample of the values from all over the image."""
    chosen = range(0, len(image), max(1, len(image) // 32))
    first = np.asarray(image[0])
    step = max(1, int(np.sqrt(len(chosen) * first.size / _SAMPLES)))
    with np.errstate(invalid="ignore", over="ignore"):  # long doubles may overflow
        parts = [np.asarray(image[index])[::step, ::step].astype(np.float64).ravel() for index in chosen]
    return np.concatenate(parts)
