"""Draws docs/coordinate-systems.svg: a grid in the patient, and the indexes of its arrays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from derived_series import Grid

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "coordinate-systems.svg"

#: The grid of the document: axial slices, rows to the patient's left, columns to the back.
GRID = Grid(
    row_cosines=(1.0, 0.0, 0.0),
    column_cosines=(0.0, 1.0, 0.0),
    pixel_spacing=(2.0, 1.0),
    positions=((-2.0, -3.0, 10.0), (-2.0, -3.0, 14.0), (-2.0, -3.0, 18.0)),
    rows=4,
    columns=5,
)
ROW, COLUMN, SLICE, WORLD, RAS = "tab:red", "tab:green", "tab:blue", "black", "tab:gray"

Vector = npt.NDArray[np.float64]


def main() -> int:
    import matplotlib
    import matplotlib.pyplot as plt  # it takes long, and the tests import this file only for its grid

    matplotlib.use("agg")
    plt.rcParams.update({"svg.hashsalt": "coordinate systems", "font.size": 9})
    figure = plt.figure(figsize=(11, 5))
    _patient(figure.add_subplot(1, 2, 1, projection="3d"))
    _slice(figure.add_subplot(1, 2, 2))
    figure.tight_layout(pad=1.5)
    figure.savefig(PICTURE, metadata={"Date": None})
    lines = PICTURE.read_text("utf-8").splitlines()
    PICTURE.write_text("\n".join(line.rstrip() for line in lines) + "\n", "utf-8")
    return 0


def _arrow(axes: Any, start: Vector, step: Vector, text: str, color: str) -> None:
    axes.quiver(*start, *step, color=color, arrow_length_ratio=0.15, linewidth=2)
    axes.text(*(start + 1.12 * step), text, color=color, ha="center")


def _patient(axes: Any) -> None:
    """The slices at their positions, in LPS mm."""
    affine = GRID.affine_lps
    for index in range(len(GRID.positions)):
        first, down, across, last = GRID.corners(index)
        outline = np.stack([first, across, last, down, first])
        axes.plot(*outline.T, color="tab:purple", linewidth=1)
        axes.scatter(*np.array(GRID.positions[index]), color="tab:purple", s=14)
        axes.text(*((across + last) / 2), f"slice {index}", color="tab:purple", ha="right", va="center")
    start = np.array(GRID.positions[0])
    _arrow(axes, start, 3 * affine[:3, 2], "  column index", ROW)
    _arrow(axes, start, 3 * affine[:3, 1], "row index", COLUMN)
    _arrow(axes, start, 1.6 * affine[:3, 0], "slice index", SLICE)
    corner = np.array([-6.0, -5.0, 8.0])
    for step, name, other in zip(np.eye(3) * 3, ("    x: left", "y: back", "z: head"), ("R", "A", None), strict=True):
        _arrow(axes, corner, step, name, WORLD)
        if other is not None:
            _arrow(axes, corner, -step * 0.7, other, RAS)
    axes.set(xlabel="x, mm", ylabel="y, mm", zlabel="z, mm")
    axes.set_title("In the patient: LPS (grey: NIfTI's R and A)")
    axes.set_box_aspect((1, 1, 1.1))
    axes.view_init(elev=22, azim=-62)


def _slice(axes: Any) -> None:
    """A slice as shown: rows down, columns to the right."""
    from matplotlib.patches import Rectangle

    between_rows, between_columns = GRID.pixel_spacing
    for row in range(GRID.rows):
        for column in range(GRID.columns):
            x, y = column * between_columns, row * between_rows
            box = (x - between_columns / 2, y - between_rows / 2)
            axes.add_patch(Rectangle(box, between_columns, between_rows, fill=False, color="lightgray"))
            axes.plot(x, y, ".", color="tab:purple", markersize=4)
            axes.text(x, y + 0.55, f"[k, {row}, {column}]", ha="center", fontsize=6)
    axes.annotate("", (3, 0), (0, 0), arrowprops={"color": ROW, "width": 1.5, "headwidth": 7})
    axes.annotate("", (0, 4), (0, 0), arrowprops={"color": COLUMN, "width": 1.5, "headwidth": 7})
    axes.text(2.9, -1.25, "row cosines", color=ROW, ha="right")
    axes.text(-0.65, 4.0, "column cosines", color=COLUMN, rotation=90, va="center", ha="right")
    axes.text(-0.6, -1.7, "ImagePositionPatient: the centre of the first voxel", color="tab:purple")
    axes.plot(0, 0, "o", color="tab:purple")
    for ends, text, place in (
        (((4.75, 2), (4.75, 4)), "PixelSpacing[0]\n= 2 mm, between rows", (4.85, 3)),
        (((3, 7.5), (4, 7.5)), "PixelSpacing[1] = 1 mm, between columns", (3.5, 8.1)),
    ):
        axes.annotate("", *ends, arrowprops={"arrowstyle": "<->"})
        axes.text(*place, text, ha="left" if place[0] > 4 else "center", va="center")
    axes.set(xlim=(-1.3, 7.2), ylim=(8.6, -2.2), aspect="equal")
    axes.set_title("A slice k of an array [slice, row, column]")
    axes.axis("off")


if __name__ == "__main__":
    sys.exit(main())
