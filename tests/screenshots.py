"""Pictures of pages for the documents, with phantoms only; written if DERIVED_SERIES_SCREENSHOTS is set."""

from __future__ import annotations

import io
import os

import pytest
from PIL import Image
from playwright.sync_api import Page

from orthanc_server import REPOSITORY

#: The mark of a test that takes a picture.
takes_a_picture = pytest.mark.skipif(
    not os.environ.get("DERIVED_SERIES_SCREENSHOTS"), reason="DERIVED_SERIES_SCREENSHOTS is not set"
)
_COLOURS = 256


def save(page: Page, name: str) -> None:
    """Save the visible part of a page as a small picture in ``docs``."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(REPOSITORY / "docs" / name, optimize=True)
