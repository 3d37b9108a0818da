"""The fixture for tests of docs/recipes.md."""

from __future__ import annotations

import pytest

from derived_series.pipelines import Library
from recipes_page import library, write_recipes


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The recipes of the page, loaded like files of a blueprint folder."""
    return library(write_recipes(tmp_path_factory.mktemp("recipes") / "blueprints"))
