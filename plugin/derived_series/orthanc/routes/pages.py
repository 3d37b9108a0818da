"""The plugin's own pages: static files of the package, with headers that allow no foreign content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from derived_series.errors import NotFound
from derived_series.orthanc.http import Answer, Handler, Request

#: The folder of the files: one folder for each page, and one for shared files; html, css and js without a build step.
FOLDER = Path(__file__).resolve().parents[2] / "pages"

#: Content types by suffix; files with other suffixes are not served.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

#: Scripts and styles come only from our own files; none is inline or from another host.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; object-src 'none'; "
        "base-uri 'none'; frame-ancestors 'self'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Pages:
    """``GET /derived-series/app/{folder}/{file}``, and pages at addresses of their own.

    The files are read once, at the start: a name in an address is looked up among them and never reaches the disk.

    :param words: by file ("folder/name"): JavaScript strings to replace, each with its replacement, by the
        configuration.
    """

    def __init__(self, words: Mapping[str, Mapping[str, str]], folder: Path = FOLDER):
        self._files = {
            (name := path.relative_to(folder).as_posix()): Answer(
                _written(path, words.get(name, {})), content_type=_TYPES[path.suffix], headers=HEADERS
            )
            for path in sorted(folder.glob("*/*"))
            if path.suffix in _TYPES and path.is_file()
        }

    def file(self, request: Request) -> Answer:
        """The file in the address. :raises NotFound: there is none."""
        return self._file("/".join(request.groups))

    def page(self, name: str) -> Handler:
        """A handler that answers with one page, whatever else is in the address, which its script reads.

        :param name: of an html file: "folder/name".
        :raises NotFound: there is none.
        """
        answer = self._file(name)
        return lambda request: answer

    def text(self, name: str) -> str:
        """A file as text. :raises NotFound: there is none."""
        return self._file(name).body.decode()

    def _file(self, name: str) -> Answer:
        if name not in self._files:
            raise NotFound(f"the plugin has no file {name!r}", remedy=f"its files are {', '.join(self._files)}")
        return self._files[name]


def _written(path: Path, words: Mapping[str, str]) -> bytes:
    text = path.read_text("utf-8")
    for word, other in words.items():
        text = text.replace(json.dumps(word), json.dumps(other))
    return text.encode()
