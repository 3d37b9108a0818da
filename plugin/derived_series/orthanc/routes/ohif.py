"""OHIF's viewer under ``/derived-series-ohif/``, once ``make ohif`` has fetched it.

``/ohif/`` is the folder of Orthanc's own OHIF plugin, which may be installed too.
"""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path
from urllib.parse import quote

from derived_series.errors import NotFound
from derived_series.orthanc.http import Answer, Request

#: Only this server's files. OHIF compiles WebAssembly, makes workers of blobs and sets styles from its scripts.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-eval' blob:; worker-src 'self' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; font-src 'self' data:; "
        "connect-src 'self' blob: data:; object-src 'none'; base-uri 'none'; frame-ancestors 'self'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_HASHED = re.compile(r"(^|\.)[0-9a-f]{16}\.")
_TYPES = {".js": "text/javascript; charset=utf-8", ".wasm": "application/wasm", ".json": "application/json"}


class Ohif:
    """The files of a folder, listed once; unknown addresses belong to the viewer itself and get its page.

    :param folder: of the prepared viewer, which is not installed if it has no index.html.
    """

    def __init__(self, folder: Path | None):
        self._files: dict[str, Path] = {}
        if folder is not None and (folder / "index.html").is_file():
            self._files = {
                path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
            }

    @property
    def is_installed(self) -> bool:
        return bool(self._files)

    def file(self, request: Request) -> Answer:
        """The file in the address, or the viewer's page. :raises NotFound: it is not installed."""
        if not self.is_installed:
            raise NotFound("OHIF is not installed", remedy="make ohif fetches it; then restart Orthanc")
        name = request.groups[0]
        page = name not in self._files
        if page and "." in name.rpartition("/")[2]:
            raise NotFound(f"OHIF has no file {name!r}")
        path = self._files["index.html" if page else name]
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        keep = "max-age=31536000, immutable" if _HASHED.search(path.name) else "no-cache"
        return Answer(path.read_bytes(), content_type=kind, headers={**_HEADERS, "Cache-Control": keep})

    def address(self, study: str, parent: str, derived: str, modality: str) -> str:
        """The address that shows a derived series beside its parent, from the server's root.

        :param study: the StudyInstanceUID; :param parent: and the SeriesInstanceUIDs of both.
        :param modality: of the derived series. Segmentations are drawn over the parent; CT has the same unit in both
            series, so that one window serves both.
        """
        series = f"SeriesInstanceUIDs={quote(parent)},{quote(derived)}"
        both = f"parent={quote(parent)}&derived={quote(derived)}"
        both += {"SEG": "&overlay=1", "CT": "&window=1"}.get(modality, "")
        shown = f"StudyInstanceUIDs={quote(study)}&{series}&{both}&hangingProtocolId=parent-and-derived"
        return f"derived-series-ohif/viewer?{shown}"
