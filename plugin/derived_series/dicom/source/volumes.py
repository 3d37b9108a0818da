"""Arranging series with several instances at each position into volumes.

Functional MR has a volume for each time, diffusion MR for each gradient, dynamic PET for each frame. The instances at
one position are told apart by the first key of ``KEYS`` that differs for all of them and on which all positions agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.encoding.tags import to_tag
from derived_series.dicom.encoding.times import read_date_and_time, read_datetime, zone_of
from derived_series.dicom.grid import EVEN_MM, SAME_POSITION_MM
from derived_series.dicom.source.multiframe.frame import FrameDataset
from derived_series.errors import GeometryError

#: The value of a key for an instance; None if it has none.
Rank = tuple[float, ...] | None

#: The date assumed for times without one.
_NO_DAY = "19700101"
#: How far time steps may differ and still count as even, as a part of them: clocks are read to some milliseconds.
_EVEN_STEP = 0.05


class Agreement(Enum):
    """What all positions must have in common for a key to apply.

    ``VALUES``: the same values. ``ORDER``: only their number, since slices are acquired one after the other, and hearts
    do not beat evenly. ``BLOCKS``: each volume, or each position, is complete before the next begins.
    """

    VALUES = "values"
    ORDER = "order"
    BLOCKS = "blocks"


@dataclass(frozen=True, slots=True)
class VolumeKey:
    """A way to tell apart and sort the instances at one position.

    :param name: its name in messages. :param tags: the tags that it reads. :param time: whether volumes follow in time.
    :param lacking: the value for an instance without it, if others at its position have it.
    """

    name: str
    tags: tuple[str, ...]
    read: Callable[[Dataset], Rank]
    agreement: Agreement
    time: bool = True
    lacking: Rank = None


def _number(dataset: Dataset, keyword: str) -> float | None:
    try:
        return float(dataset.get(keyword))
    except (TypeError, ValueError):  # missing, empty, several values
        return None


def _by_number(keyword: str, agreement: Agreement, *, time: bool = True) -> VolumeKey:
    def read(dataset: Dataset) -> Rank:
        number = _number(dataset, keyword)
        return None if number is None else (number,)

    return VolumeKey(keyword, (keyword,), read, agreement, time)


def _by_clock(name: str) -> VolumeKey:
    def read(dataset: Dataset) -> Rank:
        day = dataset.get(f"{name}Date") or _NO_DAY
        moment = read_date_and_time(day, dataset.get(f"{name}Time"), zone_of(dataset))
        return None if moment is None else (moment.at.timestamp(),)

    agreement = Agreement.ORDER if name == "Acquisition" else Agreement.BLOCKS
    return VolumeKey(f"{name}Time", (f"{name}Date", f"{name}Time"), read, agreement)


def _acquisition_date_time(dataset: Dataset) -> Rank:
    moment = read_datetime(dataset.get("AcquisitionDateTime"), zone_of(dataset))
    return None if moment is None else (moment.at.timestamp(),)


def _diffusion(dataset: Dataset) -> Rank:
    """The b-value and the gradient; images without diffusion weighting have none."""
    b_value = _number(dataset, "DiffusionBValue")
    gradient = dataset.get("DiffusionGradientOrientation") or (0.0, 0.0, 0.0)
    return None if b_value is None else (b_value, *(float(g) for g in gradient))


def _acquired(dataset: Dataset) -> Rank:
    """InstanceNumber, and the number of the frame in a multi-frame instance."""
    number = _number(dataset, "InstanceNumber")
    return None if number is None else (number, dataset.number if isinstance(dataset, FrameDataset) else 0)


def descends(instances: Sequence[Dataset]) -> bool:
    """Whether the numbers of a volume's instances and frames mostly fall along the normal.

    :param instances: the instances of one volume, ascending along the normal.
    """
    numbers = [rank for dataset in instances if (rank := _acquired(dataset)) is not None]
    if len(numbers) < len(instances):
        return False
    order = np.argsort(np.array(sorted(range(len(numbers)), key=numbers.__getitem__)))
    return bool(np.sum((order - order.mean()) * np.arange(len(order))) < 0)


def _image_index(dataset: Dataset) -> Rank:
    """The time slice of a PET image (PS3.3 C.8.9.4.1.9)."""
    index, slices = _number(dataset, "ImageIndex"), _number(dataset, "NumberOfSlices")
    return None if index is None or not slices else ((index - 1) // slices,)


#: The sort keys; the first that fits is used.
KEYS = (
    _by_number("TemporalPositionIdentifier", Agreement.VALUES),
    _by_number("TemporalPositionIndex", Agreement.VALUES),
    VolumeKey(
        "DiffusionBValue and DiffusionGradientOrientation",
        ("DiffusionBValue", "DiffusionGradientOrientation"),
        _diffusion,
        Agreement.VALUES,
        time=False,
        lacking=(0.0, 0.0, 0.0, 0.0),  # an image without diffusion weighting may have no value
    ),
    *(
        _by_number(keyword, Agreement.VALUES, time=False)
        for keyword in ("EchoTime", "EchoNumbers", "InversionTime", "FlipAngle")
    ),
    _by_number("TriggerTime", Agreement.ORDER),
    _by_number("FrameReferenceTime", Agreement.ORDER),
    _by_clock("Acquisition"),
    VolumeKey("AcquisitionDateTime", ("AcquisitionDateTime",), _acquisition_date_time, Agreement.ORDER),
    _by_clock("Content"),
    _by_number("AcquisitionNumber", Agreement.VALUES),
    VolumeKey("ImageIndex", ("ImageIndex",), _image_index, Agreement.VALUES),
    VolumeKey("InstanceNumber", ("InstanceNumber",), _acquired, Agreement.BLOCKS),
)
_BY_NAME = {key.name: key for key in KEYS}
#: The key that follows the scanner's order, which does not say what the volumes are.
LAST_RESORT = "InstanceNumber"


@dataclass(frozen=True, slots=True)
class Arrangement:
    """The order of a series' instances as volumes.

    :param order: indexes of the instances, volume after volume, the slices of each ascending along the normal.
    :param key: the name of the key that tells the volumes apart; None for one volume.
    """

    order: tuple[int, ...]
    volumes: int
    key: str | None

    @property
    def slices(self) -> int:
        """The number of slices of one volume."""
        return len(self.order) // self.volumes


def arrange_volumes(
    instances: Sequence[Dataset],
    varying: frozenset[int],
    positions: npt.NDArray[np.float64],
    along: npt.NDArray[np.float64],
) -> Arrangement:
    """Sort instances by position, and those at one position by the first key that fits.

    :param positions: (instance, 3), mm. :param along: (instance,), the distances along the normal in mm.
    :raises GeometryError: positions have different numbers of instances, or no key tells the instances apart.
    """
    order = [int(i) for i in np.argsort(along, kind="stable")]
    same = np.diff(along[order]) < SAME_POSITION_MM
    if not same.any():
        return Arrangement(tuple(order), 1, None)
    groups = [[int(i) for i in part] for part in np.split(np.array(order), np.flatnonzero(~same) + 1)]
    _check_groups(groups, positions, int(same.sum()))
    for key in KEYS:
        if key.name != LAST_RESORT and varying.isdisjoint(int(to_tag(keyword)) for keyword in key.tags):
            continue
        arranged = _sorted(key, instances, groups)
        if arranged is not None:
            return Arrangement(
                tuple(i for volume in zip(*arranged, strict=True) for i in volume), len(groups[0]), key.name
            )
    raise GeometryError(
        f"{int(same.sum())} slices share a position with the slice before: there are {len(groups[0])} instances at "
        f"each of the {len(groups)} positions, and nothing tells the volumes apart; tried were "
        + ", ".join(key.name for key in KEYS),
        remedy="give a series with one instance at each position, or number the volumes of this one in "
        "TemporalPositionIdentifier (0020,0100)",
    )


def _check_groups(groups: list[list[int]], positions: npt.NDArray[np.float64], same: int) -> None:
    counts = Counter(map(len, groups))
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        odd = next(group for group in groups if len(group) != usual)
        named = ", ".join(f"{count} instances at {times} positions" for count, times in counts.most_common())
        raise GeometryError(
            f"{same} slices share a position with the slice before, but not all positions have the same number of "
            f"instances: {named}, among them {len(odd)} at {positions[odd[0]].tolist()} mm",
            remedy="give a series with one slice at each position, or with all slices of each volume",
        )
    for group in groups:
        off = np.linalg.norm(positions[group] - positions[group[0]], axis=1)
        if off.max() > EVEN_MM:
            raise GeometryError(
                f"two instances are at one distance along the normal, but {off.max():.3f} mm apart in their plane, at "
                f"{positions[group[0]].tolist()} and {positions[group[int(off.argmax())]].tolist()} mm",
                remedy="choose one stack of slices",
            )


def _sorted(key: VolumeKey, instances: Sequence[Dataset], groups: list[list[int]]) -> list[list[int]] | None:
    """Sort each position's instances by a key; None if the key does not apply."""
    arranged: list[list[int]] = []
    ranks: list[list[tuple[float, ...]]] = []
    for group in groups:
        read = [(key.read(instances[i]), i) for i in group]
        if key.lacking is not None and any(rank is not None for rank, _ in read):
            read = [(key.lacking if rank is None else rank, i) for rank, i in read]
        pairs = sorted((rank, i) for rank, i in read if rank is not None)
        values = [rank for rank, _ in pairs]
        if len(set(values)) < len(group):
            return None
        if key.agreement is Agreement.VALUES and ranks and values != ranks[0]:
            return None
        arranged.append([i for _, i in pairs])
        ranks.append(values)
    if key.agreement is Agreement.BLOCKS and not _in_blocks(ranks):
        return None
    return arranged if key.time else _as_acquired(instances, arranged)


def _in_blocks(ranks: list[list[tuple[float, ...]]]) -> bool:
    volumes = list(zip(*ranks, strict=True))
    by_volume = all(max(one) <= min(other) for one, other in pairwise(volumes))
    by_position = all(one[-1] < other[0] for one, other in pairwise(sorted(ranks)))
    return by_volume or by_position


def _as_acquired(instances: Sequence[Dataset], arranged: list[list[int]]) -> list[list[int]]:
    """Sort the volumes by InstanceNumber and frame, if all positions have them in the same order.

    Files that list gradients or echoes (bvec) are in the order of acquisition, not of the values.
    """
    orders = set()
    for group in arranged:
        numbers = [rank for i in group if (rank := _acquired(instances[i])) is not None]
        if len(set(numbers)) < len(group):
            return arranged
        orders.add(tuple(sorted(range(len(group)), key=numbers.__getitem__)))
    if len(orders) > 1:
        return arranged
    (order,) = orders
    return [[group[t] for t in order] for group in arranged]


def time_step(instances: Sequence[Dataset], volumes: int, key: str | None) -> float | None:
    """Seconds from one volume to the next; None if volumes do not follow evenly in time, or it is unknown.

    :param instances: the instances in the order of an Arrangement. :param key: its key.
    """
    if key is None or not _BY_NAME[key].time:
        return None
    pivot = instances[0]
    stated = _number(pivot, "TemporalResolution")  # (0020,0110), ms
    if stated is not None and stated > 0:
        return stated / 1000
    measured = _measured_step(instances[:: len(instances) // volumes], key)
    repetition = _number(pivot, "RepetitionTime") if pivot.get("MRAcquisitionType") != "3D" else None
    if repetition is None or repetition <= 0 or key == "TriggerTime":
        return measured
    if measured is not None and abs(measured - repetition / 1000) > _EVEN_STEP * measured:
        return measured
    return repetition / 1000


def _measured_step(instances: Sequence[Dataset], key: str) -> float | None:
    """The time step from the times of one position's instances."""
    name, unit = (key, 1e-3) if key in ("TriggerTime", "FrameReferenceTime") else ("AcquisitionTime", 1.0)
    ranks = [_BY_NAME[name].read(instance) for instance in instances]
    times = [rank[0] * unit for rank in ranks if rank is not None]
    if len(times) < len(instances):
        return None
    steps = np.diff(times)
    middle = float(np.mean(steps))
    even = middle > 0 and float(np.abs(steps - middle).max()) <= _EVEN_STEP * middle
    return round(middle, 6) if even else None
