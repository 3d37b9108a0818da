"""docs/install.md and docs/troubleshooting.md say what the code does: commands, options, variables and messages."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import install_document
from derived_series.installation.commands import COMMANDS
from derived_series.installation.places import plugin_script

ROOT = Path(__file__).resolve().parents[3]
INSTALL = (ROOT / "docs" / "install.md").read_text("utf-8")
TROUBLES = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")


def texts_of(source: str) -> list[str]:
    """The texts of a module, with … in the place of expressions; texts that are added are one."""

    def text(node: ast.AST) -> str | None:
        match node:
            case ast.Constant(value=str(value)):
                return value
            case ast.JoinedStr(values=values):
                return "".join(text(each) or "…" for each in values)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return (text(left) or "…") + (text(right) or "…")
        return None

    nodes = list(ast.walk(ast.parse(source)))
    documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return [each for node in nodes if id(node) not in documentation and (each := text(node))]


@cache
def texts_of_package() -> list[str]:
    return [each for file in (ROOT / "plugin").rglob("*.py") for each in texts_of(file.read_text("utf-8"))]


def messages(document: str) -> list[str]:
    """The messages in the first column of the tables, without those of Orthanc and Python."""
    rows = re.findall(r"^\| (.+?) \| ", document, flags=re.MULTILINE)
    return [
        message
        for row in rows
        if "(Orthanc's)" not in row and "(Python's)" not in row and not row.startswith("404 for")
        for message in re.findall(r"`([^`]+)`", row)
        if message != "curl -F"
    ]


@pytest.mark.parametrize("message", messages(TROUBLES))
def test_each_message_is_in_the_code(message: str) -> None:
    pattern = re.escape(message).replace("…", ".*")
    assert any(re.search(pattern, text) for text in texts_of_package()), (
        "write what the code says, with … for what differs"
    )


def test_reasons_why_a_scheduler_is_not_reached_are_in_the_code() -> None:
    (row,) = re.findall(r"^\| `environment …: the scheduler … is not reached: …` \| (.*) \|$", TROUBLES, re.MULTILINE)
    reasons = [each for each in re.findall(r"`([^`]+)`", row) if not each.startswith(("-", "Connection"))]
    assert len(reasons) > 4
    assert [each for each in reasons if not any(each in text for text in texts_of_package())] == []


def test_there_are_messages_and_one_that_is_gone_is_seen() -> None:
    assert len(messages(TROUBLES)) > 25
    assert not any(re.search("the moon is in the wrong phase", text) for text in texts_of_package())


def test_the_commands_of_the_document_are_in_their_order() -> None:
    scripts = install_document.scripts(INSTALL)
    before, after, upgrade, uninstall = scripts.values()
    assert list(scripts) == ["before", "after", "upgrade", "uninstall"]
    steps = ["apt-get install", "-m venv", "pip install", "derived-series install", "sed -i", "install --yes"]
    assert [before.index(step) for step in steps] == sorted(before.index(step) for step in steps)
    assert "doctor --orthanc /etc/orthanc" in after and after.index("doctor") < after.index("review")
    assert all(script.startswith("set -eux") for script in scripts.values())
    assert all("systemctl restart orthanc" in script for script in (after, upgrade, uninstall))
    assert "pip install --upgrade" in upgrade and "doctor" in upgrade and "derived-series uninstall" in uninstall


def test_the_document_names_commands_that_there_are() -> None:
    named = set(re.findall(r"derived-series (\w+)(?: --|\s*$|`)", INSTALL, flags=re.MULTILINE))
    assert {"install", "doctor", "uninstall"} <= named <= {*COMMANDS, "build", "lint"}
    assert plugin_script().name == "main.py" and "derived_series_plugin/main.py" in INSTALL


def test_docker_run_is_the_compose_file() -> None:
    """The same image, variables and volumes."""
    (block,) = re.findall(r"<!-- docker run -->\n```sh\n(.*?)```", INSTALL, flags=re.DOTALL)
    words = shlex.split(block)
    service = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]["orthanc"]
    variables = dict(word.split("=", 1) for option, word in pairwise(words) if option == "-e")
    assert variables.keys() == service["environment"].keys() and words[-1] == service["image"]
    for name, value in service["environment"].items():
        assert re.sub(r"\$\{?ORTHANC_PASSWORD(:\?[^}]*)?\}?", "X", value) == variables[name].replace(
            "$ORTHANC_PASSWORD", "X"
        )
    volumes = [word for option, word in pairwise(words) if option == "-v"]
    assert [volume.replace("$PWD", ".") for volume in volumes] == service["volumes"]
    assert [word for option, word in pairwise(words) if option == "-p"] == service["ports"]
    assert set(re.findall(r"^\| `(\w+)`", INSTALL, flags=re.MULTILINE)) <= {*variables}
