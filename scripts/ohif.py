"""Fetches OHIF's viewer from npm, pinned and checked, and prepares it for the plugin to serve."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = REPOSITORY / ".run" / "ohif"

PACKAGE = "@ohif/app@3.13.2"  # MIT
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="

#: Files to leave out: source maps, models that run in the browser, a service worker, which would keep old versions.
LEFT_OUT = re.compile(
    r"\.map$|(^|/)ort/|^sw\.js$|^init-service-worker\.js$|^app-config\.js$|^google\.js$|^_|^serve\.json$"
)

#: The plugin's address of the configuration, relative to /derived-series-ohif/.
CONFIGURATION = "../derived-series/app/ohif/ohif-config.js"

#: The sources of a prepared folder, which is prepared again when they change.
VERSION = f"{PACKAGE} with {CONFIGURATION}"


def main() -> int:
    if (FOLDER / "index.html").exists() and (FOLDER / "version").read_text() == VERSION:
        print(f"ohif: {PACKAGE} is in {FOLDER}")
        return 0
    npm = shutil.which("npm")
    if npm is None:
        print("ohif: npm is not installed (apt-get install npm)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", PACKAGE, "--json", "--pack-destination", folder]
        run = subprocess.run(command, stdout=subprocess.PIPE, timeout=900, check=False)
        if run.returncode != 0:
            print(f"ohif: npm could not fetch {PACKAGE}", file=sys.stderr)
            return 1
        archive = Path(folder) / str(json.loads(run.stdout)[0]["filename"])
        checksum = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if checksum != INTEGRITY:
            print(f"ohif: {PACKAGE} is {checksum}, not the one that was pinned", file=sys.stderr)
            return 1
        fresh = Path(folder) / "ohif"
        unpack(archive, fresh)
        rebase(fresh)
        (fresh / "version").write_text(VERSION)
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.parent.mkdir(exist_ok=True)
        shutil.move(fresh, FOLDER)
    print(f"ohif: {PACKAGE} is in {FOLDER}; restart Orthanc to serve it under /ohif/")
    return 0


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the built viewer from npm's archive; only files whose names stay in the folder."""
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix("package/dist/")
            if name == member.name or not member.isfile() or ".." in Path(name).parts or LEFT_OUT.search(name):
                continue
            source = tar.extractfile(member)
            if source is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(source.read())


def rebase(folder: Path) -> None:
    """Make addresses from the server's root relative, so that the viewer works under any path."""
    index = folder / "index.html"
    text = re.sub(r'(src|href|content)="/(?!/)', r'\1="', index.read_text("utf-8"))
    text = re.sub(r"<script>.*?</script>", "", text)  # inline scripts: the configuration has what they set
    text = re.sub(r'<script[^>]*src="init-service-worker\.js"[^>]*></script>', "", text)
    text, changed = re.subn(r'<script[^>]*src="app-config\.js"[^>]*>', f'<script src="{CONFIGURATION}">', text)
    if changed != 1:
        raise SystemExit("ohif: index.html does not load app-config.js as expected")
    index.write_text(text, "utf-8")
    here = '__webpack_require__.p = (self.PUBLIC_URL || new URL("./", self.location).href)'
    for path in folder.glob("*.js"):
        code = path.read_text("utf-8")
        if '__webpack_require__.p = "/"' in code:
            path.write_text(code.replace('__webpack_require__.p = "/"', here), "utf-8")
    for path in folder.glob("*.css"):
        path.write_text(path.read_text("utf-8").replace("url(/", "url("), "utf-8")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace('"/', '"'), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
