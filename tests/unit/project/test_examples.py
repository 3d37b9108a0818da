"""The examples of the documents run as they are printed, and what they send is accepted."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from building import LIBRARY, build, parent_of, ready, written
from derived_series import BuildContext, ParentSeries, Segment, SegmentationFactory, segments
from derived_series.__main__ import _parser
from derived_series.errors import InvalidRequest
from derived_series.jobs.requests.bulk import BulkRequest, DecisionRequest
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.requests.verdict import ReviewRequest
from derived_series.orthanc.addresses import ADDRESSES
from derived_series.orthanc.config import Settings
from derived_series.orthanc.routes.rules import SimulateRequest, TryRequest
from derived_series.pipelines import Library
from derived_series.pipelines.run import Options, run_pipeline
from phantoms import ct_phantom, encode

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
#: In place of an identifier that a variable or an ellipsis stands for.
IDENTIFIER = "1a2b3c4d-" * 4 + "1a2b3c4d"


def blocks(document: Path, language: str) -> list[str]:
    """The code blocks of a document."""
    text = document.read_text("utf-8")
    return re.findall(rf"^ *```{language}(?: [^\n]*)?\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


# -- Python --------------------------------------------------------------------------------------------------------


def block_with(document: str, words: str) -> str:
    """The one block of Python of a document that has some words."""
    (block,) = (each for each in blocks(ROOT / document, "python") if words in each)
    return block


def test_the_blueprint_of_the_readme(tmp_path: Path) -> None:
    (tmp_path / "denoised.py").write_text(block_with("README.md", "ct_image_blueprint\n    + derivation"))
    library = Library.load([tmp_path])
    assert library.problems == ()
    parent = parent_of(ct_phantom(3, 8, 8))
    (first, *_) = written(build(parent, parent.voxels(), blueprint=library.blueprint("denoised").blueprint))
    assert (first.SeriesDescription, first.Modality) == ("Denoised", "CT")


def test_the_pipeline_of_the_readme(tmp_path: Path) -> None:
    (tmp_path / "median.py").write_text(block_with("README.md", "class Median(Pipeline)"))
    library = Library(LIBRARY.blueprints, Library.load([tmp_path]).pipelines, LIBRARY.factories, ())
    parents = {"ct": parent_of(ct_phantom(3, 8, 8))}
    assert len(written(run_pipeline(library, "median", parents, {}, Options(), BuildContext()))) == 3


def test_the_library_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PARENT_DIR").mkdir()
    for number, dataset in enumerate(ct_phantom(3, 8, 8)):
        (tmp_path / "PARENT_DIR" / f"{number}.dcm").write_bytes(encode(dataset))
    exec(block_with("README.md", 'from_folder("PARENT_DIR")'), {})
    assert len(list(tmp_path.glob("*.dcm"))) == 3


def test_the_structures_of_the_reference(tmp_path: Path) -> None:
    (tmp_path / "on_liver.py").write_text(block_with("docs/reference.md", "class OnLiver(Pipeline)"))
    loaded = Library.load([tmp_path])
    assert loaded.problems == ()
    library = Library(LIBRARY.blueprints, loaded.pipelines, LIBRARY.factories, ())
    ct = parent_of(ct_phantom(3, 12, 10))
    mask = (ct.voxels() > 0).astype(np.uint8)
    liver = build(ct, mask, segments(Segment(1, "Liver")), blueprint="segmentation", factory=SegmentationFactory())
    parents = {"ct": ct, "structures": ParentSeries.from_objects([liver.encode(0)])}
    series = run_pipeline(library, "on_liver", parents, {}, Options(), BuildContext())
    values = np.stack([each.pixel_array * each.RescaleSlope + each.RescaleIntercept for each in written(series)])
    assert np.allclose(values, np.where(mask, ct.voxels(), -1000), atol=1) and 0 < mask.mean() < 1


def imported(block: str) -> list[tuple[str, str]]:
    """Module and name of what a block imports of this package. :raises SyntaxError: it is not Python."""
    nodes = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    return [
        (str(node.module), each.name) for node in nodes for each in node.names if "derived_series" in str(node.module)
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_examples_import_is_there(document: Path) -> None:
    names = [each for block in blocks(document, "python") for each in imported(block)]
    assert [(module, name) for module, name in names if not hasattr(importlib.import_module(module), name)] == []


# -- requests ------------------------------------------------------------------------------------------------------

#: By the name of the address, what accepts a body.
BODIES: Mapping[str, Callable[[Any], object]] = {
    "derive": DeriveRequest.of,
    "verdict": ReviewRequest.of,
    "bulk": BulkRequest.of,
    "bulk run, to change": DecisionRequest.model_validate,
    "try rules": TryRequest.of,
    "simulate": SimulateRequest.of,
}


def requests_in(text: str) -> Iterator[tuple[str, str]]:
    """Path and body of each curl that posts JSON."""
    whole = text.replace("\\\n", " ")
    for path, body in re.findall(r"curl [^`']*?(/(?:series|derived-series)/\S*?)\"? +-d '(.*?)'", whole, re.DOTALL):
        yield re.sub(r"\$\w+", IDENTIFIER, path), re.sub(r'"\w{4}…"', f'"{IDENTIFIER}"', body)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_curl_posts_is_accepted(document: Path) -> None:
    for path, body in requests_in(document.read_text("utf-8")):
        names = [name for name, row in ADDRESSES.items() if "POST" in row.methods and re.fullmatch(row.pattern, path)]
        assert names, f"no route takes POST {path}"
        BODIES[names[0]](json.loads(body))


def test_what_jq_makes_of_a_table_and_a_file_is_accepted() -> None:
    (shown,) = re.findall(r"'({Blueprint: .*?})' \|$", (ROOT / "docs/reference.md").read_text("utf-8"), re.MULTILINE)
    body = json.loads(re.sub(r"\$\w+", '"1,x"', re.sub(r"(\w+):", r'"\1":', shown)))
    asked = DeriveRequest.of(body)
    assert asked.blueprint == "label_map_segmentation" and asked.image is not None
    assert ready(asked.blueprint) and asked.factory in LIBRARY.factories


def test_curls_are_seen() -> None:
    paths = [path for each in DOCUMENTS for path, _ in requests_in(each.read_text("utf-8"))]
    assert len(paths) > 12
    ((path, body),) = requests_in('curl http://127.0.0.1:8042/series/$PARENT/derive -d \'{"Pipelines": "median"}\'')
    assert re.fullmatch(ADDRESSES["derive"].pattern, path)
    with pytest.raises(InvalidRequest, match="Pipelines"):
        BODIES["derive"](json.loads(body))


# -- the configuration ---------------------------------------------------------------------------------------------

#: Settings by which a block is known for a part of the section.
KEYS = {"Rules", "Notify", "Environments", "OrthancHeaders", "JobsDatabase"}


def document_of(block: str) -> Any:
    """The JSON of a block, which may be the inner part of an object or of an array; None where there is none."""
    for text in (block, f"{{{block}}}", f"[{block}]"):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return None


def sections_in(document: Path) -> Iterator[Any]:
    """The parts of the section "DerivedSeries" that a document shows."""
    for block in blocks(document, "json"):
        shown = document_of(
            block.replace("${NOTIFY_SECRET}", "a secret of 24 letters").replace("${SLACK_URL}", "https://a/b")
        )
        if isinstance(shown, dict) and {"Match", "WaitFor"} & shown.keys():
            shown = [shown]
        if isinstance(shown, list):
            shown = {"Rules": shown}
        section = shown.get("DerivedSeries", shown) if isinstance(shown, dict) else {}
        if KEYS & section.keys():
            yield section


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_settings_are_accepted(document: Path) -> None:
    for section in sections_in(document):
        Settings.of(section)


def test_settings_are_seen() -> None:
    assert len([section for each in DOCUMENTS for section in sections_in(each)]) > 7


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_of_json_are_json(document: Path) -> None:
    broken = [block for block in blocks(document, "json") if document_of(block) is None]
    assert [block for block in broken if ": {…}" not in block] == [], "or with {…} for what is left out"


# -- commands ------------------------------------------------------------------------------------------------------


def commands_in(document: Path) -> Iterator[list[str]]:
    """The arguments of our command in the blocks of a shell."""
    for block in blocks(document, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if match := re.search(r"(?:^|[\s/(])derived-series ([a-z]+\b[^&|)]*)", line.partition(" #")[0]):
                yield shlex.split(match[1])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_take_their_options(document: Path) -> None:
    for arguments in commands_in(document):
        stderr = io.StringIO()
        try:
            with contextlib.redirect_stderr(stderr):
                _parser().parse_args(arguments)
        except SystemExit:
            pytest.fail(f"{' '.join(arguments)}: {stderr.getvalue().splitlines()[-1]}")


def test_commands_are_seen() -> None:
    assert {arguments[0] for each in DOCUMENTS for arguments in commands_in(each)} >= {
        *("build", "lint", "list", "explain", "install", "uninstall", "doctor", "worker", "scheduler", "certificates")
    }
    with pytest.raises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        _parser().parse_args(["doctor", "--orthank", "/etc/orthanc"])


def options_of(command: str) -> set[str]:
    """The options of one of our commands."""
    stderr = io.StringIO()
    with pytest.raises(SystemExit), contextlib.redirect_stdout(stderr):
        _parser().parse_args([command, "--help"])
    return set(re.findall(r"--[a-z][a-z-]*", stderr.getvalue()))


@pytest.mark.parametrize(
    ("document", "section", "commands"),
    [
        ("install.md", "## Check it", ("doctor",)),
        ("many-machines.md", "## Which side opens which connection", ("worker", "scheduler")),
        ("many-machines.md", "## What is trusted", ("worker", "scheduler")),
        ("many-machines.md", "## What happens when something breaks", ("worker", "scheduler")),
    ],
)
def test_options_in_a_text_are_there(document: str, section: str, commands: tuple[str, ...]) -> None:
    text = (ROOT / "docs" / document).read_text("utf-8").partition(f"{section}\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(--[a-z][a-z-]*)`", text))
    assert named and named - set().union(*map(options_of, commands)) == set()


def test_the_blueprints_of_the_examples_are_there() -> None:
    """What examples name of the library is in it."""
    named = {name for each in DOCUMENTS for name in re.findall(r'blueprints\["(\w+)"\]', each.read_text("utf-8"))}
    assert len(named) > 5 and all(ready(name) for name in named)
