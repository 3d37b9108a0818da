"""The commands of docs/install.md that are marked to be run, as two shell scripts: before Orthanc starts, and after."""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "install.md"
_BLOCK = re.compile(r"^<!-- (run|restart) -->\n```sh\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


def scripts(text: str) -> tuple[str, str]:
    """What is run before Orthanc is started again, and what is run then."""
    before, after = ["set -eux"], ["set -eux"]
    is_started = False
    for mark, commands in _BLOCK.findall(text):
        is_started = is_started or mark == "restart"
        (after if is_started else before).append(commands)
    return "\n".join(before), "\n".join(after)


if __name__ == "__main__":
    for name, script in zip(sys.argv[1:], scripts(DOCUMENT.read_text("utf-8")), strict=True):
        Path(name).write_text(script, "utf-8")
