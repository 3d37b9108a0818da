"""Turns the marked commands of docs/install.md into shell scripts, in their order."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "install.md"
_BLOCK = re.compile(r"^<!-- (run|restart|upgrade|uninstall) -->\n```sh\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


def scripts(text: str) -> Mapping[str, str]:
    """The scripts before Orthanc starts with the plugin, after that, for an upgrade, and to uninstall it."""
    lines = {name: ["set -eux"] for name in ("before", "after", "upgrade", "uninstall")}
    part = "before"
    for mark, commands in _BLOCK.findall(text):
        part = {"restart": "after", "run": part}.get(mark, mark)
        lines[part].append(commands)
    return {name: "\n".join(each) for name, each in lines.items()}


if __name__ == "__main__":
    for name, script in scripts(DOCUMENT.read_text("utf-8")).items():
        (Path(sys.argv[1]) / f"{name}.sh").write_text(script, "utf-8")
