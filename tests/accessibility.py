"""Checks pages with axe-core: https://github.com/dequelabs/axe-core, from npm, in tooling/."""

from __future__ import annotations

from playwright.sync_api import Page

from installed import not_installed
from orthanc_server import REPOSITORY

_SCRIPT = REPOSITORY / "tooling" / "node_modules" / "axe-core" / "axe.min.js"
_RUN = """async () => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) =>
        `${id}: ${target.join(" ")}: ${failureSummary}`));
}"""


def violations(page: Page) -> list[str]:
    """The rules that elements of the page break. Skips without axe-core; fails instead if CI=true."""
    if not _SCRIPT.exists():
        not_installed("axe-core", "npm ci --prefix tooling")
    page.evaluate(f"() => {{ {_SCRIPT.read_text('utf-8')} }}")
    broken: list[str] = page.evaluate(_RUN)
    return broken


def width_beside_the_screen(page: Page) -> int:
    """CSS pixels by which the page is wider than the screen, which a reader on a phone has to scroll."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width
