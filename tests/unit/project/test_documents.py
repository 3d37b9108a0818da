"""The documents for who works on this: their pictures are what the imports say, their paths are there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import BaseModel

import architecture
import coordinate_picture
import phantom
from building import build, parent_of, written
from derived_series import Blueprint, BuildContext, ParentSeries
from derived_series.dicom.grid import LPS_TO_RAS
from derived_series.jobs import destination_states as states
from derived_series.jobs.bulk.bulk_run import Decision, MemberState, RunState
from derived_series.jobs.messages import DeriveTask
from derived_series.jobs.notices.fields import EVENTS, OF_A_PATIENT, OF_NOBODY
from derived_series.jobs.notices.receiver import Receiver
from derived_series.jobs.queue.audit_log import OfJob, OfRun
from derived_series.jobs.record import State
from derived_series.jobs.requests.bulk import BulkKeys, DecisionRequest
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.requests.verdict import ReviewRequest
from derived_series.jobs.rules.model import Expected, OtherDerivation, Rule, WaitFor
from derived_series.jobs.rules.series_conditions import COUNT, METADATA, Condition, Match, NumberCondition
from derived_series.jobs.work.progress import _OF_OTHER_SERVERS, _PHASES
from derived_series.kinds import KINDS
from derived_series.orthanc.addresses import ADDRESSES, Address
from derived_series.orthanc.callers import Source
from derived_series.orthanc.config import EnvironmentSettings, PipelineLimits, Settings
from derived_series.pipelines import Library
from derived_series.pipelines.run import Options, run_pipeline
from derived_series.transfer_syntaxes import WRITTEN
from phantoms import ct_phantom

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "plugin" / "derived_series"
#: Documents that name files in backticks, relative to the repository or to the package.
WITH_PATHS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "docs/coordinate-systems.md")
#: Documents in Markdown that are read by people.
MARKDOWN = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_the_pictures_are_what_the_imports_say() -> None:
    document = architecture.DOCUMENT.read_text("utf-8")
    assert document == architecture.drawn(document), (
        "draw them again: PYTHONPATH=scripts .venv/bin/python scripts/architecture.py"
    )


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
        if re.fullmatch(r"\w[\w.-]*(/[\w.-]+)*/?", word) and (word.endswith("/") or re.search(r"/.*\.\w+$|\.py$", word))
    }


def is_there(path: str) -> bool:
    return (ROOT / path).exists() or (PACKAGE / path).exists()


@pytest.mark.parametrize("name", WITH_PATHS)
def test_the_files_that_a_document_names_are_there(name: str) -> None:
    named = paths_in((ROOT / name).read_text("utf-8"))
    assert len(named) > 5
    assert sorted(path for path in named if not is_there(path)) == [], f"files that {name} names and that are gone"


def test_paths_are_seen() -> None:
    text = "`orthanc/app.py`, `jobs/`, `make test`, `StaticElement`, `a + b`, `/series/{id}/derive`, `gone.py`"
    assert paths_in(text) == {"orthanc/app.py", "jobs/", "gone.py"}
    assert not is_there("gone.py") and is_there("orthanc/app.py") and is_there("tests/")


def blocks_of(document: str, language: str) -> list[str]:
    """The code blocks of a document."""
    text = (ROOT / document).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("document", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_targets_of_make_that_a_document_names_are_there(document: Path) -> None:
    targets = set(re.findall(r"^([\w-]+(?: [\w-]+)*):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    there = {target for line in targets for target in line.split()}
    named = re.findall(r"(?:^|`)make ((?:[a-z][\w-]*[ `\n])+)", document.read_text("utf-8"), flags=re.MULTILINE)
    assert {target for line in named for target in re.split(r"[ `\n]+", line) if target} <= there, (
        f"make has {sorted(there)}"
    )


def test_the_element_of_the_guide_works() -> None:
    names: dict[str, object] = {}
    exec(blocks_of("CONTRIBUTING.md", "python")[0], names)
    extra = names["blueprint"]
    assert isinstance(extra, Blueprint)
    assert [dataset.ImagesInAcquisition for dataset in written(build(ct_phantom(3, 8, 8), extra=extra))] == [3, 3, 3]


def test_the_pipeline_of_the_guide_works(tmp_path: Path) -> None:
    (tmp_path / "threshold.py").write_text(blocks_of("CONTRIBUTING.md", "python")[1], "utf-8")
    shutil.copy(ROOT / "blueprints" / "segmentation.py", tmp_path)
    library = Library.load([tmp_path])  # not all blueprints: who follows the guide may have put it among them
    assert library.problems == ()
    parent = parent_of(ct_phantom(3, 16, 16))
    series = run_pipeline(library, "threshold", {"ct": parent}, {"HU": 300}, Options(), BuildContext())
    (dataset,) = written(series)
    assert dataset.Modality == "SEG" and dataset.pixel_array.sum() == (parent.voxels() > 300).sum() > 0


@pytest.mark.parametrize("modality", phantom.PHANTOMS)
def test_the_phantom_of_the_guide_is_a_parent(tmp_path: Path, modality: str) -> None:
    assert "scripts/phantom.py PARENT_DIR" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert phantom.main([str(tmp_path / "parent"), modality]) == 0
    parent = ParentSeries.from_folder(tmp_path / "parent")
    assert parent.modality == {"pet": "PT"}.get(modality, modality.upper())
    assert phantom.main([str(tmp_path), "us"]) == 2


def test_the_attempt_of_the_guide_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[DeriveTask] = []
    monkeypatch.setattr("derived_series.jobs.work.attempt.make_attempt", lambda task, work: tasks.append(task))
    exec(blocks_of("CONTRIBUTING.md", "python")[2])
    assert [task.folders for task in tasks] == [("blueprints",)]


def test_the_example_of_the_coordinate_systems_is_right_and_is_the_one_drawn() -> None:
    names: dict[str, object] = {}
    first, second = blocks_of("docs/coordinate-systems.md", "python")
    exec(first, names)
    exec(second, names)
    assert np.array_equal(names["lps_to_ras"], LPS_TO_RAS)  # type: ignore[arg-type]
    assert names["grid"] == coordinate_picture.GRID


def keys_of(*models: type[BaseModel]) -> set[str]:
    """The keys of a JSON document, by pydantic models."""
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


def models_in(form: Any) -> set[type[BaseModel]]:
    """A model and those that its keys have as values, however deep; those of a type."""
    if isinstance(form, type) and issubclass(form, BaseModel):
        return {form}.union(*(models_in(field.annotation) for field in form.model_fields.values()))
    return set().union(*map(models_in, get_args(form)))


(STATES_OF_VERDICTS,) = (
    get_args(form) for form in get_args(ReviewRequest.model_fields["known"].annotation) if get_args(form)
)
#: What stands in which document, in backticks or as a key in JSON.
NAMED: dict[str, tuple[str, set[str]]] = {
    "settings": ("docs/reference.md", keys_of(Settings, PipelineLimits, EnvironmentSettings)),
    "keys of a request": (
        "docs/reference.md",
        keys_of(*models_in(DeriveRequest)),
    ),
    "keys of a verdict": ("docs/reference.md", keys_of(ReviewRequest)),
    "keys of a run": ("docs/bulk.md", keys_of(*models_in(BulkKeys), DecisionRequest)),
    "keys of a rule": (
        "docs/on-stable-series.md",
        keys_of(Rule, Match, Condition, NumberCondition, WaitFor, Expected, OtherDerivation),
    ),
    "keys of a receiver": ("docs/monitoring.md", keys_of(Receiver)),
    "fields and events of notices": ("docs/monitoring.md", {*EVENTS, *OF_NOBODY, *OF_A_PATIENT}),
    "names that a match may use": ("docs/on-stable-series.md", {*METADATA, COUNT}),
    "transfer syntaxes": ("docs/reference.md", set(WRITTEN)),
    "states of jobs": ("docs/reference.md", {state.value for state in State}),
    "states of destinations": ("docs/reference.md", {*states._OPEN_FIRST}),
    "states of verdicts": ("docs/reference.md", {*STATES_OF_VERDICTS}),
    "states of runs": ("docs/bulk.md", {each.value for kind in (RunState, MemberState, Decision) for each in kind}),
    "acts of the audit trail": ("docs/authorization.md", {*get_args(OfJob), *get_args(OfRun)}),
    "sources of who asks": ("docs/authorization.md", {*get_args(Source)}),
    "phases of jobs": ("docs/monitoring.md", {name.lower() for name in (*_PHASES, *_OF_OTHER_SERVERS)}),
    "kinds of objects": ("README.md", {kind.factory for kind in KINDS}),
}


@pytest.mark.parametrize("what", NAMED)
def test_a_document_names_all_that_there_is(what: str) -> None:
    document, names = NAMED[what]
    text = (ROOT / document).read_text("utf-8")
    assert names
    missing = sorted(name for name in names if not re.search(rf'[`"]{re.escape(name)}[`"]', text))
    assert missing == [], f"name these {what} in {document}, in backticks: the table there has a row for each"


def routes_in(text: str) -> set[tuple[str, str]]:
    """The routes that a document names: (method, path with {} for what differs)."""
    named = re.findall(r"`(GET|POST|PUT|DELETE) (/[^`\s?]*)`", text)
    return {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in named}


def routes_of(address: Address) -> set[tuple[str, str]]:
    """The routes of a row of the table of addresses."""
    path = address.pattern.replace("([^/]+)", "{}").replace("(.*)", "")
    choices = re.search(r"\(([\w|]+)\)", path)
    paths = [path] if choices is None else [path.replace(choices[0], each) for each in choices[1].split("|")]
    return {(method, each) for method in address.methods for each in paths}


def test_the_rule_of_the_readme_fits_the_sample() -> None:
    """Whoever reads it can try it on what `make run` has stored."""
    (text,) = re.findall(r'^"Rules": (\[{.*?^}\])$', (ROOT / "README.md").read_text("utf-8"), flags=re.M | re.S)
    (document,) = json.loads(text)
    rule = Rule.model_validate(document)
    assert rule.derive is not None and rule.derive.pipeline == "gaussian_smoothing"
    sample = ct_phantom(2, 8, 8, spacing=4.0, pixel_spacing=(0.9, 0.9))[0]
    match = document["Match"]
    assert sample.Modality == match["Modality"] and sample.SliceThickness <= match["SliceThickness"]["Max"]
    assert re.search(match["SeriesDescription"]["Regex"], sample.SeriesDescription)


@pytest.mark.parametrize("name", ["reference.md", "monitoring.md", "install.md"])
def test_the_index_of_a_document_has_all_its_sections(name: str) -> None:
    text = (ROOT / "docs" / name).read_text("utf-8")
    sections = re.findall("^## (.+)$", text, flags=re.MULTILINE)
    index = text.partition("\n## ")[0]
    assert [each for each in sections if f"[{each}](#" not in index] == [] != sections


def test_the_reference_names_every_route_and_no_other() -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    routes = {route for row in ADDRESSES.values() for route in routes_of(row)}
    assert sorted(routes - routes_in(text)) == [], "give the route a row under Routes in docs/reference.md"
    assert sorted(routes_in(text) - routes) == [], "docs/reference.md names a route that is not in orthanc/addresses.py"


def test_the_document_on_installing_names_the_variables_of_the_configuration() -> None:
    named = set(re.findall(r"\$\{(\w+)", (ROOT / "orthanc.json").read_text("utf-8")))
    document = (ROOT / "docs" / "install.md").read_text("utf-8")
    section = document.partition("## One file and ports of your own")[2].partition("\n## ")[0]
    assert named and {name for name in named if f"| `{name}` |" not in section} == set()


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
    assert broken == [], f"links of {document.name} whose file or heading is not there"


def table_of_kinds() -> dict[str, set[str]]:
    """The factories in README's table of kinds, by blueprint; ``_mr`` stands for the ending of the name before it."""
    _, _, after = (ROOT / "README.md").read_text("utf-8").partition("| blueprint | what it makes | factory |\n")
    factories = {}
    for row in after.partition("\n\n")[0].splitlines()[1:]:
        blueprints, *_, factory = (re.findall(r"`(\w+)`", cell) for cell in row.strip("|").split("|"))
        stem = blueprints[0].rpartition("_")[0]
        for name in blueprints:
            factories[stem + name if name.startswith("_") else name] = set(factory)
    return factories


def test_the_table_of_kinds_is_that_of_their_declarations() -> None:
    table = table_of_kinds()
    kinds = {kind.blueprint for kind in KINDS}
    assert sorted(kinds - set(table)) == [], (
        "give the kind a row in the table `| blueprint | what it makes |` of README.md"
    )
    assert sorted(set(table) - kinds) == [], "README.md has a row for a kind that is not in kinds/"
    wrong = {kind.blueprint: kind.factory for kind in KINDS if kind.factory not in table[kind.blueprint]}
    assert wrong == {}, "the last cell of the kind's row in README.md is its factory, as here"


#: Of a picture of the gallery: dozens are on one page.
LARGEST_PICTURE_BYTES = 40_000


def test_the_gallery_has_a_picture_of_each_kind() -> None:
    text = (ROOT / "docs" / "kinds.md").read_text("utf-8")
    rows = re.findall(r"^\| !\[[^]]+\]\(kinds/(\w+)\.png\) \| `(\w+)` \| .+ \|$", text, re.MULTILINE)
    assert [name for file, name in rows if file != name] == [], "the picture of a kind has the name of its blueprint"
    assert sorted(name for _, name in rows) == sorted(kind.blueprint for kind in KINDS), (
        "docs/kinds.md has a row for each kind, and no other"
    )
    files = {path.stem: path.stat().st_size for path in (ROOT / "docs" / "kinds").iterdir()}
    assert sorted(files) == sorted(name for _, name in rows), "run scripts/kind_pictures.py"
    assert {name: size for name, size in files.items() if size > LARGEST_PICTURE_BYTES} == {}
