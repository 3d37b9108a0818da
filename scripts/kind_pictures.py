"""Draws docs/kinds/: for each kind of object a small picture of one that its ready blueprint makes from a phantom.

PYTHONPATH=plugin:tests:scripts python scripts/kind_pictures.py        # all; or name blueprints: ct rt_dose
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
import pydicom
from matplotlib import colormaps, font_manager
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from scipy import ndimage

from building import build
from derived_series import Blueprint, ParentSeries, picture, real_world_values
from derived_series.dicom import preview
from derived_series.dicom.factories.kinds import FACTORIES
from derived_series.kinds import KINDS
from label_pictures import SEGMENTS, labels_of
from package_files import package_series
from phantoms import ct_phantom, mr_phantom, pet_phantom
from phantoms_projection import angiogram, digital_x_ray, mammograms, radiograph

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "kinds"
#: The longer side of a picture, of a picture with text, and the size of its file.
_SIDE_PIXELS, _PAGE_PIXELS, _LARGEST_BYTES = 220, 340, 40_000
#: The index of the shown slice in the sample series.
_SLICE = 18
_COLORS = {1: (255, 152, 48), 2: (64, 160, 255), 3: (48, 208, 112), 4: (255, 64, 64), 5: (255, 64, 255)}

Picture = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float64]


@lru_cache(maxsize=1)
def head() -> tuple[ParentSeries, npt.NDArray[np.uint8]]:
    """The sample series and labels of its parts, (slice, row, column)."""
    parent = ParentSeries.from_datasets(ct_phantom(40, 256, 256, spacing=4.0, pixel_spacing=(0.9, 0.9), noise=4.0))
    return parent, labels_of(parent)


def series_of(parent: ParentSeries, image: Any, name: str, extra: Blueprint | None = None) -> Any:
    """The series of a kind, by the kind's own factory."""
    (kind,) = (kind for kind in KINDS if kind.blueprint == name)
    return build(parent, image, extra, blueprint=name, factory=FACTORIES[kind.factory]())


def read(series: Any, index: int = 0) -> Dataset:
    """An instance as another program reads its file."""
    return pydicom.dcmread(io.BytesIO(series.encode(index)))


def middle(series: Any) -> Image.Image:
    """The middle slice in the window of its header."""
    shown = preview.picture(series)
    assert shown is not None
    return Image.open(io.BytesIO(base64.b64decode(shown["PNG"]))).convert("RGB")


def grey_slice() -> Picture:
    """The parent's slice under the others, (row, column, 3)."""
    values = head()[0].voxels()[_SLICE]
    grey = np.clip((values + 100) / 300, 0, 1) * 255
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def blended(colors: npt.NDArray[Any], opacity: npt.NDArray[Any]) -> Image.Image:
    """Colours, (row, column, 3) from 0 to 255, over the parent's slice, with opacities (row, column) from 0 to 1."""
    mixed = grey_slice() * (1 - opacity[..., None]) + colors * opacity[..., None]
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def colored(labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    colors = np.zeros((*labels.shape, 3), np.uint8)
    for number, color in _COLORS.items():
        colors[labels == number] = color
    return colors


def mapped(values: Values, name: str) -> npt.NDArray[Any]:
    """The colours of a colour map for values from 0 to 1, (row, column, 3) from 0 to 255."""
    return np.asarray(colormaps[name](np.clip(values, 0, 1))[..., :3] * 255)


def smoothed(name: str, parent: ParentSeries) -> Image.Image:
    """An image of the parent's modality."""
    return middle(series_of(parent, ndimage.gaussian_filter(parent.voxels(), (0, 1.2, 1.2)), name))


def volume_of(name: str) -> ParentSeries:
    if "mr" in name:
        return ParentSeries.from_datasets(
            mr_phantom(24, 192, 192, orientation="axial", pixel_spacing=(1.1, 1.1), spacing=4.0)
        )
    if "pet" in name:
        return ParentSeries.from_datasets(pet_phantom(24, 128, 128, pixel_spacing=(1.7, 1.7), spacing=4.0))
    return head()[0]


def classic(name: str) -> Image.Image:
    return smoothed(name, volume_of(name))


# ---- projections


def through(axis: int, most: int) -> npt.NDArray[np.uint16]:
    """A projection of the head along an axis, from 0 to ``most``, (row, column)."""
    parent, _ = head()
    sums = (np.clip(parent.voxels() + 1000, 0, None) / 1000).sum(axis=axis)[::-1]
    sums = (sums / sums.max()) ** 3  # with more contrast
    sums = ndimage.zoom(sums, (220 / sums.shape[0], 220 / sums.shape[1]), order=1)
    return np.asarray(np.rint(sums / sums.max() * most * 0.95), np.uint16)


def exposed(datasets: list[Dataset], frames: npt.NDArray[np.uint16]) -> list[Dataset]:
    """The same images with other pixels, (row, column) or (frame, row, column)."""
    for dataset in datasets:
        dataset.PixelData = frames.tobytes()
        dataset.Rows, dataset.Columns = frames.shape[-2:]
        dataset.WindowCenter, dataset.WindowWidth = float(frames.max()) / 2, float(frames.max())
    return datasets


def sharpened(name: str, datasets: list[Dataset]) -> Image.Image:
    parent = ParentSeries.from_datasets(datasets)
    values = parent.voxels()
    image = np.clip(values + (values - ndimage.gaussian_filter(values, (0, 4, 4))), 0, values.max())
    return middle(series_of(parent, np.rint(image).astype(np.uint16), name))


def vessels() -> npt.NDArray[np.uint16]:
    """A vessel that fills with contrast agent, (frame, row, column)."""
    ground = through(1, 900).astype(np.float64)
    frames = []
    for part in (0.0, 0.35, 0.7, 1.0, 1.0):
        tree = Image.new("L", (220, 220))
        pen = ImageDraw.Draw(tree)
        for end, bend, width in ((20, 40, 5), (60, -50, 4), (140, 60, 4), (200, -30, 3)):
            points = [
                (110 + (end - 110) * t + bend * np.sin(3 * t) * t * (1 - t), 215 - 190 * t)
                for t in np.linspace(0, part, 40)
            ]
            if part:
                pen.line(points, fill=255, width=width, joint="curve")
        frames.append(np.clip(ground - ndimage.gaussian_filter(np.asarray(tree, np.float64), 1) * 1.6, 0, None))
    return np.asarray(np.rint(np.stack(frames)), np.uint16)


def ultrasound_image(name: str) -> Image.Image:
    parent = ParentSeries.from_files(package_series("ultrasound 30 frames"))
    return middle(series_of(parent, parent.stored(), name))


def breast() -> npt.NDArray[np.uint16]:
    rows, columns = np.indices((220, 180))
    inside = np.clip(1 - np.hypot((rows - 110) / 100, columns / 150), 0, 1) ** 0.5
    texture = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=inside.shape), 4)
    dense = np.exp(-((rows - 120) ** 2 + (columns - 60) ** 2) / 1500)
    return np.asarray(np.rint(np.clip(inside * (1500 + 2500 * texture + 2000 * dense), 0, 4095)), np.uint16)


# ---- labels and maps


def segmentation(name: str) -> Image.Image:
    parent, labels = head()
    source = highdicom.seg.segread(io.BytesIO(series_of(parent, labels, name, SEGMENTS).encode(0)))
    uid = parent.instances[_SLICE].SOPInstanceUID
    (seen,) = source.get_pixels_by_source_instance([uid], combine_segments=True, assert_missing_frames_are_empty=True)
    if name == "label_map_segmentation":  # by itself, as it is stored
        return Image.fromarray(colored(seen))
    return blended(colored(seen), (seen > 0) * 0.6)


def fractional(name: str) -> Image.Image:
    parent, labels = head()
    probability = ndimage.gaussian_filter((labels == 2) | (labels == 4), (0, 6, 6), output=np.float32)
    source = highdicom.seg.segread(io.BytesIO(series_of(parent, probability / probability.max(), name).encode(0)))
    seen = source.get_pixels_by_source_instance(
        [parent.instances[_SLICE].SOPInstanceUID], assert_missing_frames_are_empty=True, rescale_fractional=True
    )[0, ..., 0]
    return blended(mapped(seen, "inferno"), np.where(seen > 0.02, 0.75, 0))


def parametric_map(name: str) -> Image.Image:
    parent = volume_of("mr")
    series = series_of(parent, (3.0 - parent.voxels() / 600).clip(0, 3) * 1e-3, name, real_world_values("mm2/s"))
    dataset = read(series)
    frames = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(-1, dataset.Rows, dataset.Columns)
    image = Image.fromarray(mapped(frames[len(frames) // 2].astype(np.float64) / 3e-3, "viridis").astype(np.uint8))
    bar = np.repeat(np.linspace(1, 0, image.height)[:, None], 12, axis=1)
    whole = Image.new("RGB", (image.width + 70, image.height))
    whole.paste(image)
    whole.paste(Image.fromarray(mapped(bar, "viridis").astype(np.uint8)), (image.width + 4, 0))
    pen = ImageDraw.Draw(whole)
    for text, row in (("0.003", 1), ("mm2/s", 16), ("0", image.height - 16)):
        pen.text((image.width + 20, row), text, "white", font(13))
    return whole


def dose(name: str) -> Image.Image:
    parent, labels = head()
    centre = np.array(ndimage.center_of_mass(labels == 4))
    planes, rows, columns = np.indices(labels.shape)
    away = ((planes - centre[0]) / 8) ** 2 + ((rows - centre[1]) / 30) ** 2 + ((columns - centre[2]) / 40) ** 2
    dataset = read(series_of(parent, 60 * np.exp(-away), name))
    gray = dataset.pixel_array[_SLICE] * float(dataset.DoseGridScaling) / 60
    return blended(mapped(gray, "jet"), np.where(gray > 0.1, 0.45, 0))


def structures(name: str) -> Image.Image:
    """The closed contours of one slice, in the colours of their ROIs, over the parent at twice its size."""
    parent, labels = head()
    dataset = read(series_of(parent, labels, name, SEGMENTS))
    grid = parent.require_grid()
    image = Image.fromarray(grey_slice()).resize((512, 512), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            points = np.array(contour.ContourData, float).reshape(-1, 3) - grid.positions[_SLICE]
            if abs(points[0] @ grid.normal) < 0.1:
                columns = points @ grid.row_cosines / grid.pixel_spacing[1]
                rows = points @ grid.column_cosines / grid.pixel_spacing[0]
                places = [(2 * c + 1, 2 * r + 1) for c, r in zip(columns, rows, strict=True)]
                pen.line([*places, places[0]], fill=tuple(int(value) for value in roi.ROIDisplayColor), width=4)
    return image


# ---- pictures and documents


def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


def page(lines: Iterable[str], title: str) -> Image.Image:
    """A page of text with its title."""
    image = Image.new("RGB", (420, 300), "white")
    pen = ImageDraw.Draw(image)
    pen.text((16, 14), title, "#204060", font(22))
    for number, line in enumerate(lines):
        pen.text((16, 56 + 27 * number), line, "black", font(18))
    return image


def rgb(name: str) -> Image.Image:
    parent, _ = head()
    values = np.clip((parent.voxels() + 100) / 300, 0, 1)
    series = series_of(parent, np.rint(mapped(values, "magma")).astype(np.uint8), name)
    return Image.fromarray(read(series, _SLICE).pixel_array)


def many_frames(name: str) -> Image.Image:
    """Some frames of an object, side by side."""
    parent, _ = head()
    grey = np.clip((parent.voxels() + 100) / 300, 0, 1) * 255
    frames = read(series_of(parent, grey.astype(np.uint8), name)).pixel_array[6:33:3, ::3, ::3]
    rows = [np.concatenate(list(frames[start : start + 3]), axis=1) for start in (0, 3, 6)]
    return Image.fromarray(np.concatenate(rows)).convert("RGB")


def report(name: str) -> Image.Image:
    """The content of a report, read by highdicom."""
    ml, hu = "ml", {"Value": "373098007", "Scheme": "SCT", "Meaning": "Mean"}
    measured = [
        {"Of": "Liver", "Concept": "118565006", "Value": 1432.5, "Unit": ml, "Finding": "Liver"},
        {"Of": "Liver", "Concept": hu, "Value": 54, "Unit": "[hnsf'U]"},
        {"Of": "Spleen", "Concept": "118565006", "Value": 212.0, "Unit": ml, "Finding": "Spleen"},
        {"Of": "Spleen", "Concept": hu, "Value": 47, "Unit": "[hnsf'U]"},
    ]
    series = series_of(head()[0], json.dumps(measured).encode(), name)
    content: Any = highdicom.sr.srread(io.BytesIO(series.encode(0))).content
    groups = content.get_image_measurement_groups()
    lines = []
    for group in groups:
        lines.append(str(group.tracking_identifier))
        lines += [
            f"    {item.name.meaning}: {float(item.value):g} {item.unit.meaning}" for item in group.get_measurements()
        ]
    return page(lines, "Imaging Measurement Report")


def drawn(name: str) -> Image.Image:
    """An overlay or a summary; for documents, the picture of their first page as stored in the file."""
    parent, labels = head()
    series = series_of(parent, labels, name, SEGMENTS + picture(fill=0.3, note=True))
    if name.endswith("_pdf"):
        return page_of(bytes(read(series).EncapsulatedDocument), _SLICE if name == "overlay_pdf" else 0)
    return Image.fromarray(read(series, _SLICE if len(series) > 1 else 0).pixel_array)


def page_of(document: bytes, number: int) -> Image.Image:
    """The picture on a page of a PDF file that has one for each page."""
    pictures = re.findall(rb"/DCTDecode.*?stream\r?\n(\xff\xd8.*?)\r?\nendstream", document, re.DOTALL)
    return Image.open(io.BytesIO(pictures[min(number, len(pictures) - 1)])).convert("RGB")


def letter(name: str) -> Image.Image:
    text = ["Findings of the algorithm", "", "Liver: 1432.5 ml", "Spleen: 212 ml", "", "derived, not for diagnosis"]
    document = io.BytesIO()
    page(text, "Report").save(document, "PDF")
    return page_of(bytes(read(series_of(head()[0], document.getvalue(), name)).EncapsulatedDocument), 0)


PICTURES: dict[str, Callable[[str], Image.Image]] = {
    **dict.fromkeys(("ct", "mr", "pet", "legacy_enhanced_ct", "legacy_enhanced_mr", "legacy_enhanced_pet"), classic),
    "cr": lambda name: sharpened(name, exposed(radiograph(220, 220), through(1, 1000))),
    "dx": lambda name: sharpened(name, exposed(digital_x_ray(220, 220), through(2, 4000))),
    "mg": lambda name: sharpened(name, exposed(mammograms(220, 180, views=1), breast())),
    "us": ultrasound_image,
    "xa": lambda name: sharpened(name, exposed(angiogram(220, 220), vessels())),
    "secondary_capture": rgb,
    "multiframe_secondary_capture": many_frames,
    "segmentation": segmentation,
    "label_map_segmentation": segmentation,
    "fractional_segmentation": fractional,
    "parametric_map": parametric_map,
    "rt_dose": dose,
    "rt_structure_set": structures,
    "measurement_report": report,
    "encapsulated_pdf": letter,
    **dict.fromkeys(("overlay", "overlay_pdf", "summary", "summary_pdf"), drawn),
}


def save(image: Image.Image, path: Path) -> None:
    """Save a small PNG file with as many colours as fit."""
    side = _PAGE_PIXELS if path.stem.startswith(("overlay", "summary")) else _SIDE_PIXELS
    part = side / max(image.size)
    image = image.resize((round(image.width * part), round(image.height * part)), Image.Resampling.LANCZOS)
    method = Image.Quantize.MAXCOVERAGE  # keeps the few pixels of a legend in their colours
    for colors in (256, 128, 64, 32, 16):
        content = io.BytesIO()
        image.convert("RGB").quantize(colors, method, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
        if len(content.getvalue()) <= _LARGEST_BYTES:
            break
    path.write_bytes(content.getvalue())


def main(names: Sequence[str]) -> int:
    FOLDER.mkdir(exist_ok=True)
    for kind in KINDS:
        if not names or kind.blueprint in names:
            save(PICTURES[kind.blueprint](kind.blueprint), FOLDER / f"{kind.blueprint}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
