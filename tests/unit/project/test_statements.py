"""What the documents state is what the code has: defaults, figures, statuses, names, and the form of calls."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from pydantic import BaseModel
from pydantic.alias_generators import to_pascal
from pydantic_core import PydanticUndefined
from pydicom.datadict import tag_for_keyword

from derived_series import dicom, errors, pipelines
from derived_series.dicom import overlay_document_blueprint, summary_blueprint
from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.modules import windows
from derived_series.dicom.modules.picture import Drawing, drawing_of
from derived_series.dicom.objects import contours, overlay, pictures
from derived_series.dicom.source.volumes import KEYS
from derived_series.dicomweb.stow import BatchLimits
from derived_series.errors import DerivedSeriesError
from derived_series.identifiers import SERIES_NUMBER_OFFSET
from derived_series.installation import checks_of_environments
from derived_series.jobs.notices import messenger, outbox, signature
from derived_series.jobs.notices.receiver import Receiver
from derived_series.jobs.queue import audit_log, job_logs, outcomes, postgresql_database
from derived_series.jobs.remote import bundle
from derived_series.jobs.requests import bulk
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.rules import evaluate, patterns
from derived_series.jobs.rules.model import _SETTLED, Rule
from derived_series.jobs.work import log_lines
from derived_series.kinds import FILE_TYPES
from derived_series.machines import certificates, machine_commands
from derived_series.orthanc import bulk_dry_run, health, log_format, triggers
from derived_series.orthanc.config import EnvironmentSettings, Settings
from derived_series.orthanc.routes import bulk as bulk_routes
from derived_series.orthanc.routes import fitting

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


def text_of(name: str) -> str:
    """A document of the folder docs, its lines joined."""
    return re.sub(r"\s+", " ", (ROOT / "docs" / name).read_text("utf-8"))


# -- defaults ------------------------------------------------------------------------------------------------------

#: Where a table of keys is, what stands before it, and the models whose keys it has.
TABLES: Mapping[str, tuple[str, str, tuple[type[BaseModel], ...]]] = {
    "settings": ("reference.md", "## Configuration", (Settings, EnvironmentSettings)),
    "keys of a request": ("reference.md", "Keys of the JSON:", (DeriveRequest,)),
    "keys of a rule": ("on-stable-series.md", "## Rules", (Rule,)),
    "keys of a receiver": ("monitoring.md", "## Notifications", (Receiver,)),
}
#: A value of JSON in a cell.
VALUE = re.compile(r'"[^"]*"|\[[^\]]*\]|\{[^{}]*\}|(?<![\w.])\d+(?:\.\d+)?(?![\w.])|\btrue\b|\bfalse\b')


def rows_of(document: str, before: str) -> list[tuple[list[str], str]]:
    """The keys and the default of each row of the first table of three columns after some words."""
    text = (ROOT / "docs" / document).read_text("utf-8").partition(f"\n{before}")[2]
    table = text.partition("| key | meaning | default |\n")[2].partition("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in table]
    assert all(len(each) == 3 for each in cells), "three cells a row"
    return [(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", keys)), default) for keys, _, default in cells]


def default_of(model: type[BaseModel], key: str) -> Any:
    """The default of a key, as JSON has it; None where there is none."""
    (field,) = (each for name, each in model.model_fields.items() if (each.alias or name) == key)
    value = None if field.default is PydanticUndefined else field.default
    return json.loads(json.dumps(value)) if value not in ([], {}) else value


def stated_wrongly(models: tuple[type[BaseModel], ...], keys: list[str], default: str) -> str:
    """What is wrong with the default of a row; empty: nothing."""
    known = (model for model in models if set(keys) <= {field.alias for field in model.model_fields.values()})
    model = next(known, None)
    if model is None:
        return f"{', '.join(keys)}: there are no such keys"
    defaults = [value for key in keys if (value := default_of(model, key)) is not None]
    stated = [json.loads(each) for each in VALUE.findall(default)]
    is_in_words = not stated and default and all(value in ([], {}) for value in defaults)
    if not defaults or stated == defaults or is_in_words:
        return ""
    return f"{', '.join(keys)}: {default!r} is stated, the code has {defaults}"


@pytest.mark.parametrize("what", TABLES)
def test_defaults_are_those_of_the_code(what: str) -> None:
    document, before, models = TABLES[what]
    rows = rows_of(document, before)
    assert len(rows) > 8
    assert [wrong for keys, default in rows if (wrong := stated_wrongly(models, keys, default))] == []


@pytest.mark.parametrize(
    ("keys", "default"),
    [
        (["QueueSize"], "`999`"),
        (["QueueSize"], "many"),
        (["Attempts", "RetryPause"], "`1`, `8`"),
        (["BlueprintFolders"], '`["blueprint"]`'),
        (["Rules"], ""),
        (["HoldUntilAccepted"], "`true`"),
        (["QueueSizes"], "`1000`"),
    ],
)
def test_a_wrong_default_is_seen(keys: list[str], default: str) -> None:
    assert stated_wrongly((Settings,), keys, default)


def test_defaults_of_pictures_are_those_of_the_code() -> None:
    table = (ROOT / "docs" / "reference.md").read_text("utf-8").partition("| in a request | in a blueprint |")[2]
    rows = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()[2:]]
    stated = {cells[1].strip("`"): [json.loads(each) for each in VALUE.findall(cells[3])] for cells in rows}

    def drawn(blueprint: Blueprint) -> Drawing:
        drawing = drawing_of(blueprint)
        assert drawing is not None
        return drawing

    plain = Drawing()
    assert stated == {
        "fill": [plain.fill, drawn(summary_blueprint).fill],
        "legend": [plain.legend],
        "note": [plain.note],
        "patient": [plain.patient],
        "sheet": [plain.sheet, drawn(overlay_document_blueprint).sheet],
    }


def test_the_limits_of_a_run_are_those_of_the_code() -> None:
    (stated,) = re.findall(r'`Limits` are `({"Correlation".*?})`', text_of("bulk.md"))
    assert json.loads(stated) == bulk.AgreementLimits().model_dump(by_alias=True)


# -- figures -------------------------------------------------------------------------------------------------------

_MEGABYTE, _GIGABYTE = 1 << 20, 1 << 30
_FIRST_PORT, _LAST_PORT = machine_commands.WORKER_PORTS.split(":")

#: By document, how a figure of the code is stated there.
FIGURES: Mapping[str, tuple[str, ...]] = {
    "authorization.md": (f"up to `.{audit_log._FILES - 1}`",),
    "bulk.md": (
        f"{bulk._MOST_RESOURCES:,} at most",
        f"`Since` and `Limit` ({bulk.BulkKeys.model_fields['limit'].default}, {bulk._MOST_LOOKED_AT} at most)",
        f"(`?since=&limit=`, {bulk_routes._PAGE_MEMBERS}, {bulk_routes._MOST_MEMBERS:,} at most)",
        f"over {bulk_dry_run._FIND_SECONDS:g} seconds",
        f'`"Priority": {bulk.PRIORITY}`',
    ),
    "conformance.md": (
        f"up to {BatchLimits().instances} instances or {BatchLimits().size // _MEGABYTE} MiB",
        f"the parent's plus {SERIES_NUMBER_OFFSET}",
        f"from the {windows._BLACK:g}st to the {windows._WHITE:g}th percentile",
    ),
    "many-machines.md": (
        f"{machine_commands.SCHEDULER_PORT} (`--port`)",
        f"one of the ports {_FIRST_PORT} to {_LAST_PORT} (`--port`)",
        f"at most {bundle.PART_BYTES // _MEGABYTE} MB",
        f"They last {certificates._DAYS} days",
        f"warns {checks_of_environments._EARLY_DAYS} days before",
        f"needs PostgreSQL {postgresql_database._OLDEST // 10000} or later",
        f"ends its silent session after {postgresql_database.SILENT_SECONDS:g} s",
    ),
    "monitoring.md": (
        f"Up to {outbox.MOST_WAITING:,} notices wait",
        "Answers {} and {} are about what was sent".format(
            ", ".join(map(str, sorted(messenger._REFUSALS)[:-1])), max(messenger._REFUSALS)
        ),
        f"{signature._LEAST_BYTES} to {signature._MOST_BYTES} bytes",
        f"less than {health.FULL_BYTES // _GIGABYTE} GB is left",
        f"less than {health.TIGHT_BYTES // _GIGABYTE} GB |",
        "for a quarter of an hour" if health._BEHIND_SECONDS == 900 else "?",
        "(five files," if log_format._FILES == 5 else "?",
    ),
    "on-stable-series.md": (
        f"more than {evaluate._MOST_FIRINGS} at once",
        f"at most {patterns.MOST_PATTERN_CHARACTERS} characters",
        f"in its first {patterns._SEARCHED_CHARACTERS} characters",
    ),
    "pipelines.md": (f"{log_lines._MOST_LINES} lines and {job_logs.MOST_BYTES // _MEGABYTE} MB of a job",),
    "reference.md": (
        f"{log_lines._MOST_LINES:,} lines a job",
        f"doubled with each, {outcomes._LONGEST_PAUSE_SECONDS:g} at most",
        f"remembered for {triggers._KEPT_SECONDS / 86400:g} days",
        f"the last {fitting._MOST_RECENT} jobs",
        f"{contours._EDGE} of a pixel",
        f"{overlay.LEAST_PIXELS} of them at least",
        f"{pictures._MOST_PAGES} at most",
        f"the file in the body: {', '.join(dict.fromkeys(file.suffix for file in FILE_TYPES if file.factory))};",
        f"up to {bundle.PART_BYTES // _MEGABYTE} MB of it",
    ),
}


@pytest.mark.parametrize("document", FIGURES)
def test_figures_are_those_of_the_code(document: str) -> None:
    text = text_of(document)
    assert [figure for figure in FIGURES[document] if figure not in text] == [], f"state this in docs/{document}"


def test_volumes_are_told_apart_by_the_keys_of_the_code_in_their_order() -> None:
    (stated,) = re.findall(
        r"the first of (TemporalPositionIdentifier.*?) that has another value", text_of("reference.md")
    )
    names = [name for name in re.findall(r"\w+", stated) if name[0].isupper()]
    assert names == [word for key in KEYS for word in re.findall(r"\w+", key.name) if word[0].isupper()]


def test_the_status_page_looks_as_far_back_as_is_stated() -> None:
    script = (ROOT / "plugin" / "derived_series" / "pages" / "status" / "job_search.js").read_text("utf-8")
    (jobs,) = re.findall(r"^const FARTHEST_JOBS = (\d+);", script, re.MULTILINE)
    assert f"in the newest {int(jobs):,} jobs" in text_of("reference.md")


# -- statuses ------------------------------------------------------------------------------------------------------

ERRORS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, DerivedSeriesError)]


def test_the_reference_has_the_status_of_each_error() -> None:
    (paragraph,) = re.findall(
        r"Errors are JSON in Orthanc's shape.*?\n\n", (ROOT / "docs/reference.md").read_text(), re.S
    )
    stated = {int(each) for each in re.findall(r"(?:: |; )(4\d\d|5\d\d) ", paragraph)}
    assert stated == {each.http_status for each in ERRORS}


def raised_texts(source: str) -> Iterator[tuple[str, str]]:
    """Class and message of each error that a module makes; expressions in the message are …."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            match node.args[0]:
                case ast.Constant(value=str(text)):
                    yield node.func.id, text
                case ast.JoinedStr(values=parts):
                    texts = [each.value if isinstance(each, ast.Constant) else "…" for each in parts]
                    yield node.func.id, "".join(map(str, texts))


def test_the_statuses_of_troubleshooting_are_those_of_its_errors() -> None:
    rows = re.findall(r"^\| `([^`]+)` \((\d{3})\)", (ROOT / "docs/troubleshooting.md").read_text("utf-8"), re.M)
    texts = [each for file in (ROOT / "plugin").rglob("*.py") for each in raised_texts(file.read_text("utf-8"))]
    by_name = {each.__name__: each.http_status for each in ERRORS}
    compared = 0
    for message, status in rows:
        pattern = re.escape(message).replace("…", ".*")
        statuses = {by_name[name] for name, text in texts if name in by_name and re.search(pattern, text)}
        assert not statuses or int(status) in statuses, message
        compared += bool(statuses)
    assert compared > 5


# -- names ---------------------------------------------------------------------------------------------------------


def known_variables() -> set[str]:
    """Variables of the environment that this project reads."""
    files = [*(ROOT / "plugin").rglob("*.py"), *(ROOT / "scripts").iterdir(), *(ROOT / "tests").rglob("*.py")]
    files += [ROOT / "orthanc.json", ROOT / "Makefile"]
    return {
        name
        for file in files
        if file.is_file()
        for name in re.findall(r"DERIVED_SERIES_[A-Z]+\b", file.read_text("utf-8"))
    }


#: Names that others give: settings and words of Orthanc, of Python and of Teams.
OF_OTHERS = {
    *("DicomPort", "DicomProtocol", "MaximumPatientCount", "MaximumStorageSize", "RestApi"),
    *("Inexistent", "ModuleNotFoundError", "AdaptiveCard", "TextBlock"),
}


def words_of_project() -> set[str]:
    """All words of the sources, and keys of JSON that are made of them."""
    files = [file for end in ("py", "js", "html") for file in (ROOT / "plugin").rglob(f"*.{end}")]
    files += [*(ROOT / "scripts").glob("*.py"), *(ROOT / "blueprints").glob("*.py"), ROOT / "orthanc.json"]
    words = {word for file in files for word in re.findall(r"\w+", file.read_text("utf-8"))}
    return words | {to_pascal(word) for word in words if word.islower()}


def test_names_in_backticks_are_there() -> None:
    """CamelCase: keys, settings, classes, states. What is renamed in the code is renamed here."""
    named = {
        word
        for each in DOCUMENTS
        if each.name != "conformance.md"  # it has terms of the standard's own
        for code in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", each.read_text("utf-8"), flags=re.DOTALL))
        for word in re.findall(r"(?<![\w/.-])[A-Z][a-z]+[A-Za-z]*(?!\w)", code)
    }
    unknown = {word for word in named - words_of_project() if tag_for_keyword(word) is None}
    assert len(named) > 300 and unknown == OF_OTHERS


#: Names that others give, or that examples make up: a proxy's variable, a pooler's setting, a command of Nagios.
NOT_IN_THE_SOURCES = {
    "HTTPS_PROXY",
    "pool_mode",
    "check_http",
    "pivot_dataset",
    "WORKER_TOKEN",
    "case_0001",
    "lung_mask",
}


def parted(letters: str) -> str:
    """The pattern of words of such letters that are joined by underscores."""
    return rf"[{letters}][{letters}0-9]*(?:_[{letters}0-9]+)+"


def test_names_of_functions_constants_and_files_in_backticks_are_there() -> None:
    folders = ("plugin", "scripts", "blueprints", "tests", "benchmarks")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py") if file != Path(__file__)]
    known = {word for file in files for word in re.findall(r"\w+", file.read_text("utf-8"))}
    known |= {file.stem for file in files}
    named = {
        word
        for each in [*DOCUMENTS, ROOT / "ARCHITECTURE.md"]
        for code in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", each.read_text("utf-8"), flags=re.DOTALL))
        for word in re.findall(rf"(?<![\w/.-])_?(?:{parted('a-z')}|{parted('A-Z')})(?![\w/-])", code)
        if not word.startswith("derived_series_")  # metrics: tests/unit/orthanc/test_monitoring.py holds them
    }
    assert len(named) > 60 and named - known == NOT_IN_THE_SOURCES


def test_the_examples_of_hypothesis_are_as_many_as_stated() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (stated,) = re.findall(r"Hypothesis try (\d+) examples instead of (\d+)", text)
    profiles = [hypothesis.settings.get_profile(name) for name in ("quick", "repeatable")]
    assert [str(profile.max_examples) for profile in profiles] == list(stated)


def test_variables_of_the_environment_are_read_by_something() -> None:
    known = known_variables()
    named = {name for each in DOCUMENTS for name in re.findall(r"\bDERIVED_SERIES_[A-Z]+\b", each.read_text("utf-8"))}
    assert len(named) > 5 and named - known == set()


def test_keys_that_cannot_be_asked_there_are_named() -> None:
    settled = {to_pascal(key) for key in _SETTLED}
    (of_rules,) = re.findall(
        r"\| `Derive` \| the JSON of `POST /series/{id}/derive`, without (.*?) \|", text_of("on-stable-series.md")
    )
    assert set(re.findall(r"`(\w+)`", of_rules)) == settled
    (of_runs,) = re.findall(r"`Destinations`, \.\.\.\), but for (.*?)\. ", text_of("bulk.md"))
    assert set(re.findall(r"`(\w+)`", of_runs)) == set(bulk._OF_ONE_SERIES)


def test_documents_that_errors_name_are_there() -> None:
    named = {
        name
        for file in (ROOT / "plugin").rglob("*.py")
        for name in re.findall(r"docs/[\w-]+\.\w+", file.read_text("utf-8"))
    }
    assert len(named) > 4 and sorted(name for name in named if not (ROOT / name).is_file()) == []


def test_the_table_of_elements_has_each_of_them() -> None:
    table = (ROOT / "docs" / "reference.md").read_text("utf-8").partition("| element | value |")[2].partition("\n\n")[0]
    elements = {name for name in dicom.__all__ if name.endswith("Element")} - {
        "VirtualElement",
        "InstanceVirtualElement",
    }
    assert set(re.findall(r"`(\w+Element)\b", table)) == elements


# -- calls ---------------------------------------------------------------------------------------------------------


def calls_in(text: str) -> Iterator[ast.Call]:
    """Calls in backticks of names that users import."""
    for code in re.findall(r"`([^`\n]+\))`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        try:
            tree = ast.parse(code.replace("…", "..."), mode="eval")
        except SyntaxError:
            continue
        yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def callee(call: ast.Call) -> Any:
    """What is called; None: nothing that users import."""
    if not isinstance(call.func, ast.Name):
        return None
    name = call.func.id
    return next((getattr(package, name) for package in (pipelines, dicom) if name in package.__all__), None)


def misfit(call: ast.Call) -> str:
    """Why what is called does not take these arguments; empty: it does, or only some of them are shown."""
    function = callee(call)
    if function is None or any(isinstance(each, ast.Constant) and each.value is ... for each in call.args):
        return ""
    keywords = {each.arg: None for each in call.keywords if each.arg is not None}
    try:
        inspect.signature(function).bind(*call.args, **keywords)
    except TypeError as error:
        return f"{ast.unparse(call)}: {error}"
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_calls_are_those_that_there_are(document: Path) -> None:
    calls = list(calls_in(document.read_text("utf-8")))
    assert [wrong for call in calls if (wrong := misfit(call))] == []


def test_calls_are_seen() -> None:
    text = '`StaticElement(tag, VR, value)` and `Output("ct", optinal=True)`, `derivation()`, `f(x)`, `segments(...)`'
    wrong = [each for call in calls_in(text) if (each := misfit(call))]
    assert len(wrong) == 2 and "optinal" in wrong[0] and "derivation()" in wrong[1]
    calls = [call for each in DOCUMENTS for call in calls_in(each.read_text("utf-8")) if callee(call) is not None]
    assert len(calls) > 30
