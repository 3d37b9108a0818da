"""Sections of a document that other programs write: they are kept when the rest is written again."""

from __future__ import annotations

import re

_SECTION = re.compile(r"<!-- kept: (?P<name>.+?) -->\n.*?<!-- end of (?P=name) -->\n", re.DOTALL)


def with_section(document: str, name: str, content: str) -> str:
    """The document with that content as the section: in place of the former one, or at the end."""
    section = f"<!-- kept: {name} -->\n\n{content.strip()}\n\n<!-- end of {name} -->\n"
    former = next((each[0] for each in _SECTION.finditer(document) if each["name"] == name), None)
    return f"{document.rstrip()}\n\n{section}" if former is None else document.replace(former, section)


def rewritten(former: str, document: str) -> str:
    """A document written again, with all such sections of the former one at its end."""
    return "\n".join([document.rstrip() + "\n", *(each[0] for each in _SECTION.finditer(former))])
