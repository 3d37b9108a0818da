"""Writing text into pictures, in a font with the letters of most languages."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
BLACK, WHITE, GREY = (0, 0, 0), (255, 255, 255), (170, 170, 170)
NOTE = "Derived, not for diagnosis"
_DOTS = "…"


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """matplotlib's DejaVu Sans, ``size`` pixels high; Pillow's own font if it is missing."""
    package = importlib.util.find_spec("matplotlib")
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(path, size)
    return ImageFont.load_default(size)


def width_of(text: str, size: int) -> int:
    """The width of a text in pixels."""
    return int(font(size).getlength(text)) + 1


def shortened(text: str, size: int, width: int) -> str:
    """Cut a text to a width in pixels."""
    if width_of(text, size) <= width:
        return text
    cut = next((n for n in range(len(text), 0, -1) if width_of(text[:n] + _DOTS, size) <= width), 0)
    return text[:cut] + _DOTS


def line_height(size: int) -> int:
    """The distance from one line of text to the next, in pixels."""
    return round(size * 1.45)


def write(pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, colour: Colour, anchor: str) -> None:
    """Write a text. :param place: (x, y) of the anchor, which is one of Pillow's: ``"lm"`` is left, middle."""
    pen.text(place, text, fill=colour, font=font(size), anchor=anchor)


def write_names(
    pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], names: Sequence[tuple[str, Colour]], size: int
) -> None:
    """Write names below each other, each with a square in its colour; the last line counts those that do not fit.

    :param box: left, top, right, bottom in pixels.
    """
    left, top, right, bottom = box
    step = line_height(size)
    room = max((bottom - top) // step, 1)
    several = list(names) if len(names) <= room else list(names[: room - 1])
    for row, (text, colour) in enumerate(several):
        middle = top + row * step + step // 2
        half = round(size * 0.36)
        pen.rectangle((left, middle - half, left + 2 * half, middle + half), fill=colour)
        place = left + 2 * half + size // 2
        write(pen, (place, middle), shortened(text, size, right - place), size, WHITE, "lm")
    if len(several) < len(names):
        middle = top + len(several) * step + step // 2
        write(pen, (left, middle), f"and {len(names) - len(several)} more", size, GREY, "lm")


def page(width: int, height: int) -> Image.Image:
    """A black picture."""
    return Image.new("RGB", (width, height), BLACK)
