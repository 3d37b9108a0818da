"""The documents for who works on this: their pictures are what the imports say, their paths are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import architecture

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "plugin" / "derived_series"
#: Documents that name files in backticks, relative to the repository or to the package.
WITH_PATHS = ("ARCHITECTURE.md",)
#: Documents in Markdown that are read by people.
MARKDOWN = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_the_pictures_are_what_the_imports_say() -> None:
    document = architecture.DOCUMENT.read_text("utf-8")
    assert document == architecture.drawn(document), "draw them again: python scripts/architecture.py"


def test_arrows_that_follow_from_others_are_left_out_and_no_others() -> None:
    graph = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert architecture.reduced(graph) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}


def test_a_document_without_a_place_for_a_picture_is_told() -> None:
    with pytest.raises(ValueError, match="no place for the picture of derived_series"):
        architecture.drawn("# Architecture\n")


def paths_in(text: str) -> set[str]:
    """What is written as a path in backticks: with a slash or a suffix, and without blanks."""
    return {
        word
        for word in re.findall(r"`([^`\s]+)`", text)
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", word) and (word.endswith("/") or re.search(r"/.*\.\w+$|\.py$", word))
    }


def is_there(path: str) -> bool:
    return (ROOT / path).exists() or (PACKAGE / path).exists()


@pytest.mark.parametrize("name", WITH_PATHS)
def test_the_files_that_a_document_names_are_there(name: str) -> None:
    named = paths_in((ROOT / name).read_text("utf-8"))
    assert len(named) > 10
    assert sorted(path for path in named if not is_there(path)) == []


def test_paths_are_seen() -> None:
    text = "`orthanc/app.py`, `jobs/`, `make test`, `StaticElement`, `a + b`, `/series/{id}/derive`, `gone.py`"
    assert paths_in(text) == {"orthanc/app.py", "jobs/", "gone.py"}
    assert not is_there("gone.py") and is_there("orthanc/app.py") and is_there("tests/")


def links_in(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def anchors_of(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for link in links_in(document.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = document if not file else document.parent / file
        if not target.exists() or (anchor and anchor not in anchors_of(target.read_text("utf-8"))):
            broken.append(link)
    assert broken == []
