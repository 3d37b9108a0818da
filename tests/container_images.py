"""Makes container images of Debian's busybox for tests, and settings with which podman runs almost anywhere."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

#: Options that work anywhere as root: layers in a plain folder, a runtime other than crun, and explicit limits.
ENGINE_OPTIONS = ("--storage-driver=vfs", "--runtime", "runc")
OPTIONS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")

#: The same for a podman without options: containers.conf(5), and the driver by its variable.
_CONFIGURATION = """
[engine]
runtime = "runc"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""

_BUSYBOX = Path("/bin/busybox")
_APPLETS = (
    "sh",
    "cat",
    "chmod",
    "cp",
    "echo",
    "env",
    "find",
    "grep",
    "id",
    "kill",
    "ls",
    "mkdir",
    "sed",
    "sleep",
    "touch",
    "wc",
)


def missing() -> str | None:
    """The programs that these tests need and that are not installed."""
    for program in ("podman", "runc", "busybox"):
        if shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin") is None:
            return program
    return None


def variables(folder: Path) -> dict[str, str]:
    """The environment variables with which podman runs here without options. :param folder: for its file."""
    file = folder / "containers.conf"
    file.write_text(_CONFIGURATION)
    return {"CONTAINERS_CONF": str(file), "STORAGE_DRIVER": "vfs"}


def podman(*arguments: str, data: bytes | None = None) -> str:
    """Run podman; return its output."""
    command = ["podman", *ENGINE_OPTIONS, *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=120).stdout.decode()


def image(name: str, files: Mapping[str, str], changes: Mapping[str, object] | None = None) -> str:
    """Make an image of busybox and some scripts. :param changes: of its configuration, such as ``ENTRYPOINT``."""
    buffer = io.BytesIO()
    busybox = Path(shutil.which("busybox", path="/bin:/usr/bin") or _BUSYBOX)
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, "bin/busybox", busybox.read_bytes())
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for path, text in {"etc/passwd": "root:x:0:0::/:/bin/sh\n", **files}.items():
            _add(tar, path, text.encode())
        for folder in ("tmp", "var"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
    options = [each for key, value in (changes or {}).items() for each in ("--change", f"{key} {json.dumps(value)}")]
    podman("import", *options, "-", name, data=buffer.getvalue())
    return f"localhost/{name}" if "/" not in name else name


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), 0o755
    tar.addfile(entry, io.BytesIO(content))


def containers(image: str = "localhost/derived-series-") -> list[str]:
    """The names of the existing containers, running or not. :param image: the beginning of their image's name."""
    lines = podman("ps", "--all", "--format", "{{.Image}} {{.Names}}").splitlines()
    return [line.split()[-1] for line in lines if line.startswith(image)]
