"""Strangers, paths in names, bodies without end and files that unfold: refused, nothing stored, the token unseen."""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nibabel as nib
import numpy as np
import pytest

from orthanc_server import OrthancServer, merged
from phantoms import ct_phantom
from server_audit import all_jobs, workers
from server_fixtures import derive, finished, npy, settings, submit

USER, PASSWORD = "me", "the-password"
MAX_IMAGE_MB = 16
AUTHENTICATION = {"AuthenticationEnabled": True, "RegisteredUsers": {USER: PASSWORD}}
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

THIEF = '''
"""Pipelines are trusted code and see what their worker sees: this one tells a test what the token is."""
import gc
from pathlib import Path

from derived_series import derivation
from derived_series.dicomweb.client import Connection
from derived_series.pipelines import Parameters, Pipeline


class Settings(Parameters):
    Loot: str
    How: str = ""


class Thief(Pipeline):
    """Writes the token to the file Loot."""

    parameters = Settings

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("nothing", "Smoothing")

    def process(self, container):
        (found,) = {each.authorization for each in gc.get_objects() if isinstance(each, Connection)}
        Path(container.parameters.Loot).write_text(found)
        if container.parameters.How == "raise":
            raise ValueError("caught")
        return container["parent"].voxels()
'''

BAIT = """
from pathlib import Path
from derived_series import Blueprint
Path(__file__).with_suffix(".read").touch()
blueprint = Blueprint([])
"""


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("secure")
    keys = merged(settings(folder / "library", MaxImageMB=MAX_IMAGE_MB, RetryPause=0.1), AUTHENTICATION)
    (folder / "library" / "thief.py").write_text(THIEF)
    (folder / "bait.py").write_text(BAIT)
    with OrthancServer(folder, keys) as orthanc:
        yield orthanc


@pytest.fixture
def ct(server: OrthancServer) -> Iterator[str]:
    """A parent; what is sent in these tests leaves nothing else but it, nor a file of an image."""
    server.delete_all()
    series = server.upload(ct_phantom(slices=4))
    yield series
    images = server.jobs_folder / "images"
    failed = {job["ID"] for job in all_jobs(server) if job["State"] == "Failure"}
    assert {path.name for path in images.glob("*")} <= failed, "kept for a resubmission only"
    for job_id in failed:
        server.delete(f"/derived-series/jobs/{job_id}")


def nothing_stored(server: OrthancServer, ct: str) -> bool:
    return server.series_ids() == {ct} and server.json("/statistics")["CountInstances"] == 4


def raw(
    server: OrthancServer, method: str, path: str, headers: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    """A request whose path is sent as it is: clients of higher levels tidy up dots and percents."""
    connection = http.client.HTTPConnection("127.0.0.1", server.config["HttpPort"], timeout=60)
    connection.putrequest(method, path, skip_host=False)
    for name, value in {"Authorization": BASIC, "Content-Length": "0", **(headers or {})}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


# -- who may ask ---------------------------------------------------------------------------------------------------

STRANGERS: dict[str, str | None] = {
    "nobody": None,
    "wrong password": "Basic " + base64.b64encode(f"{USER}:wrong".encode()).decode(),
    "no password": "Basic " + base64.b64encode(f"{USER}:".encode()).decode(),
    "wrong user": "Basic " + base64.b64encode(f"you:{PASSWORD}".encode()).decode(),
    "made-up token": "Bearer 00000000-0000-0000-0000-000000000000",
    "empty token": "Bearer ",
    "no base64": "Basic ====",
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_strangers_are_refused_on_every_route(server: OrthancServer, ct: str, stranger: str) -> None:
    job = derive(server, ct, Pipeline="plain", DryRun=True)["JobID"]
    before = server.json(f"/derived-series/jobs/{job}")
    header = STRANGERS[stranger]
    headers = {"Authorization": header} if header is not None else {"Authorization": "None"}
    for method, path in [
        ("GET", "/derived-series/status"),
        ("GET", "/derived-series/blueprints"),
        ("GET", "/derived-series/pipelines/plain"),
        ("POST", f"/series/{ct}/derive"),
        ("POST", f"/series/{ct}/derive/ct/numpy"),
        ("GET", "/derived-series/jobs?expand"),
        ("GET", f"/derived-series/jobs/{job}"),
        ("GET", f"/series/{ct}/jobs/{job}"),
        ("DELETE", f"/series/{ct}/jobs/{job}"),
        ("POST", f"/series/{ct}/jobs/{job}/cancel"),
        ("POST", f"/series/{ct}/jobs/{job}/resubmit"),
        ("POST", f"/series/{ct}/jobs/{job}/progress"),
        ("GET", f"/series/{ct}/jobs/{job}/image"),
    ]:
        answer = raw(server, method, path, headers)
        assert answer.status == 401, (method, path)
        assert b"series" not in answer.body.lower()  # type: ignore[attr-defined]
    after = server.json(f"/derived-series/jobs/{job}")
    assert {**before, "Timestamp": ""} == {**after, "Timestamp": ""}
    assert nothing_stored(server, ct)


@pytest.mark.sqlite
def test_the_token_is_seen_nowhere(server: OrthancServer, ct: str, tmp_path: Path) -> None:
    """Not in the log, the database, a file, an answer, a command line or an environment."""
    loot = tmp_path / "loot"
    server.put("/tools/log-level", data="verbose")  # "trace" would show every header: Orthanc's own doing
    seen = [json.dumps(derive(server, ct, Pipeline="thief", Parameters={"Loot": str(loot)}))]
    token = loot.read_text()
    assert len(token) > 20 and token.split()[-1] != PASSWORD
    seen.append(server.post(f"/series/{ct}/derive", json={"Pipeline": "thief", "Parameters": {"How": 1}}).text)
    parameters = {"Loot": str(loot), "How": "raise"}
    seen.append(server.post(f"/series/{ct}/derive", json={"Pipeline": "thief", "Parameters": parameters}).text)
    seen.append(server.post(f"/series/{ct}/derive", json={"Pipeline": "bad", "Parameters": {"How": "segfault"}}).text)
    derive(server, ct, Pipeline="plain", DryRun=True)
    for route in [
        *("status", "blueprints?expand", "pipelines?expand", "factories?expand", "jobs?expand"),
        *(f"jobs/{job['ID']}" for job in all_jobs(server)),
    ]:
        seen.append(server.get(f"/derived-series/{route}").text)
    for series in server.series_ids() - {ct}:
        seen.append(server.get(f"/series/{series}/metadata?expand").text)
        seen += [repr(dataset) for dataset in server.download(series)]
        server.delete(f"/series/{series}")
    for pid in [server.pid, *server.children()]:
        for name in ("cmdline", "environ"):
            seen.append(Path(f"/proc/{pid}/{name}").read_text("utf-8", "replace"))
    server.put("/tools/log-level", data="default")
    secret = token.split()[-1]
    assert not [text for text in seen if secret in text]
    files = [path for path in server.folder.rglob("*") if path.is_file()]
    assert {"orthanc.log", "jobs.sqlite", "jobs.sqlite-wal", "index"} <= {path.name for path in files}
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert "thief" in server.log(), "the log was on"


def test_a_new_orthanc_has_a_new_token_and_its_workers_use_it(server: OrthancServer, ct: str, tmp_path: Path) -> None:
    tokens = []
    for name in ("first", "second"):
        derived = derive(server, ct, Pipeline="thief", Parameters={"Loot": str(tmp_path / name)})
        server.delete(derived["Path"])
        tokens.append((tmp_path / name).read_text())
        waiting = submit(server, ct, Pipeline="plain", Parameters={"Seconds": 1.0})
        server.kill()
        server.start()
        finished_job = finished(server, waiting)
        assert finished_job["State"] == "Success", finished_job
        server.delete(finished_job["Content"]["Result"]["Path"])
    assert tokens[0] != tokens[1]
    old = {"Authorization": tokens[0]}
    assert raw(server, "GET", "/derived-series/status", old).status == 401


# -- names ---------------------------------------------------------------------------------------------------------

NAMES = [
    "../../etc/passwd",
    "../bait",
    "..\\..\\bait",
    "/etc/passwd",
    "....//....//etc/passwd",
    "file:///etc/passwd",
    "ct\0.py",
    "ct.py",
    "__init__",
    "~root",
    "%2e%2e%2fbait",
    "$(touch /tmp/pwned)",
    "{{7*7}}",
    "'; DROP TABLE jobs; --",
    "ct\r\nX-Injected: yes",
    "\u202ect",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_names_and_not_paths(server: OrthancServer, ct: str, name: str) -> None:
    """Looked up in what was loaded; nothing is read, written or run by them."""
    absolute = str(server.folder / "bait")
    for asked in (name, absolute):
        for request in (
            {"Blueprint": asked, "Factory": "numpy"},
            {"Blueprint": "ct", "Factory": asked},
            {"Pipeline": asked},
        ):
            answer = server.post(f"/series/{ct}/derive", json=request)
            assert answer.status_code == 404, answer.text
            assert "there is no" in answer.json()["Message"] and "root:" not in answer.text
        if "\0" in asked:
            continue  # Orthanc ends a path at a NUL
        sent = quote(asked, safe="")
        for method, path in [
            ("POST", f"/series/{ct}/derive/{sent}/numpy"),
            ("POST", f"/series/{ct}/derive/ct/{sent}"),
            ("GET", f"/derived-series/blueprints/{sent}"),
            ("GET", f"/derived-series/pipelines/{sent}"),
            ("GET", f"/derived-series/jobs/{sent}"),
            ("GET", f"/series/{ct}/jobs/{sent}/image"),
            ("DELETE", f"/series/{ct}/jobs/{sent}"),
            ("POST", f"/series/{sent}/derive"),
        ]:
            refusal = raw(server, method, path)
            # 405: Orthanc takes a backslash for a slash, and knows a shorter path for other methods
            assert refusal.status in (400, 404) or (refusal.status, "\\" in asked) == (405, True), (method, path)
            assert b"root:" not in refusal.body and refusal.headers.get("X-Injected") is None  # type: ignore[attr-defined]
    assert not (server.folder / "bait.read").exists(), "no file outside the blueprint folders is run"
    assert nothing_stored(server, ct)
    assert server.json("/derived-series/jobs") is not None, "the table is there"


def test_a_name_that_is_too_long(server: OrthancServer, ct: str) -> None:
    answer = server.post(f"/series/{ct}/derive", json={"Pipeline": "x" * 100_000})
    assert answer.status_code == 400 and len(answer.text) < 2000


# -- bodies --------------------------------------------------------------------------------------------------------


def memory(pid: int, key: str) -> int:
    """Bytes; VmRSS: now, VmHWM: the most since ``forget_peak``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key + ":"))


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def stream(server: OrthancServer, path: str, start: bytes, size: int) -> tuple[int, Any]:
    """POST a body that is never whole in memory here: ``start`` and zeros."""
    connection = http.client.HTTPConnection("127.0.0.1", server.config["HttpPort"], timeout=300)
    connection.putrequest("POST", path)
    connection.putheader("Authorization", BASIC)
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    connection.send(start)
    left = size - len(start)
    block = bytes(1 << 20)
    while left:
        connection.send(block[: min(left, len(block))])
        left -= min(left, len(block))
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


def settled(pid: int, most: int) -> int:
    """Resident bytes, once they are few enough again, or after some seconds."""
    end = time.monotonic() + 5
    while (now := memory(pid, "VmRSS")) > most and time.monotonic() < end:
        time.sleep(0.05)
    return now


def test_a_body_of_2_gigabytes_is_refused_and_forgotten(server: OrthancServer, ct: str) -> None:
    """Orthanc reads a body before it asks us, and hands over a copy: two of them, no more, and none stays."""
    size = 2 << 30
    forget_peak(server.pid)
    before = memory(server.pid, "VmRSS")
    status, answer = stream(server, f"/series/{ct}/derive/ct/numpy", b"\x93NUMPY\x01\x00", size)
    assert status == 400 and f"{size} bytes, over the limit of {MAX_IMAGE_MB << 20}" in answer["Message"]
    assert "MaxImageMB" in answer["Remedy"]
    assert memory(server.pid, "VmHWM") - before < 2.2 * size
    assert settled(server.pid, before + (64 << 20)) < before + (64 << 20)
    assert nothing_stored(server, ct)


def test_a_json_body_over_the_limit_is_refused_before_it_is_parsed(server: OrthancServer, ct: str) -> None:
    size = 256 << 20
    forget_peak(server.pid)
    before = memory(server.pid, "VmRSS")
    status, answer = stream(server, f"/series/{ct}/derive", b'{"Pipeline": "plain", "Image": "', size)
    assert status == 400 and "over the limit" in answer["Message"]
    assert memory(server.pid, "VmHWM") - before < 2.2 * size
    assert nothing_stored(server, ct)


def test_what_was_uploaded_is_not_kept_in_memory(server: OrthancServer, ct: str) -> None:
    """Accepted images too: version 4.0 of the Python plugin would keep each one for ever."""
    image = npy(np.zeros((4, 32, 24), np.int16)) + bytes(12 << 20)  # what follows an array is not read
    headers = {"X-Derived-Series-Options": '{"DryRun": true}'}

    def upload(times: int) -> None:
        for _ in range(times):
            assert server.post(f"/series/{ct}/derive/ct/numpy", data=image, headers=headers).status_code == 200

    upload(3)
    before = memory(server.pid, "VmRSS")
    upload(8)
    assert settled(server.pid, before + (40 << 20)) < before + (40 << 20)


@pytest.mark.parametrize("path", ["/system", "/derived-series/factories"])
def test_requests_are_not_kept_in_memory(server: OrthancServer, path: str) -> None:
    """Of Orthanc's own routes neither: version 4.0 of the Python plugin would keep what our filter gets of each."""
    long = {"X-Long": "x" * 14_000}

    def ask(times: int) -> None:
        for _ in range(times):
            assert server.get(path, headers=long).status_code == 200

    ask(100)
    before = memory(server.pid, "VmRSS")
    ask(600)
    assert settled(server.pid, before + (4 << 20)) < before + (4 << 20), "8 MB of headers were sent"


def test_an_upload_that_is_cut_off_leaves_nothing(server: OrthancServer, ct: str) -> None:
    """A client that dies in the middle of its image: no job, no file."""
    jobs = len(all_jobs(server))
    image = npy(np.zeros((4, 32, 24), np.int16))
    for length in (0, 10, len(image) - 1):
        connection = http.client.HTTPConnection("127.0.0.1", server.config["HttpPort"], timeout=10)
        connection.putrequest("POST", f"/series/{ct}/derive/ct/numpy")
        connection.putheader("Authorization", BASIC)
        connection.putheader("Content-Length", str(len(image)))
        connection.endheaders()
        connection.send(image[:length])
        connection.close()
    time.sleep(0.5)
    assert len(all_jobs(server)) == jobs and nothing_stored(server, ct)


def deep_json(depth: int) -> bytes:
    return b'{"Parameters": ' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    "body",
    [
        deep_json(1_000),
        deep_json(100_000),
        b'{"Priority": ' + b"9" * 1_000_000 + b"}",
        b'{"Timeout": 1e400, "Pipeline": "plain"}',
        b'{"Timeout": NaN, "Pipeline": "plain"}',
        b'{"Pipeline": "plain", "Pipeline": "bad"}',
        b'{"' + b'a":1,"' * 100_000 + b'b":1}',
        b'{"Pipeline": "plain", "Image": "' + b"A" * 1_000_000 + b'"}',
        b'{"Blueprint": "ct", "Factory": "numpy", "Image": "' + b"!" * 1_000_000 + b'"}',
        b"\x00" * 1_000_000,
        b"\x1f\x8b\x08" + bytes(1000),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_json_that_would_cost_much(server: OrthancServer, ct: str, body: bytes) -> None:
    began = time.monotonic()
    answer = server.post(f"/series/{ct}/derive", data=body)
    assert answer.status_code == 400, answer.text[:300]
    assert len(answer.text) < 20_000 and time.monotonic() - began < 5
    assert nothing_stored(server, ct)


# -- files that unfold ---------------------------------------------------------------------------------------------


def npy_header(descr: str, shape: str, version: int = 1) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text


def nifti(shape: tuple[int, ...], *, two: bool = False, offset: float = 0, extension: int = 0) -> bytes:
    """A header alone, and the begin of an extension."""
    header: Any = nib.Nifti2Header() if two else nib.Nifti1Header()
    header.set_data_dtype(np.float64)
    header["dim"][: 1 + len(shape)] = [len(shape), *shape]
    header["vox_offset"] = offset
    header["magic"] = b"n+2" if two else b"n+1"
    content: bytes = header.binaryblock
    return content + (b"\x01\0\0\0" + extension.to_bytes(4, "little") + (6).to_bytes(4, "little") if extension else b"")


def zeros_compressed(gigabytes: int) -> bytes:
    """gzip members one after the other are one file: 16 MB of zeros are 16 kB."""
    return gzip.compress(bytes(16 << 20)) * (64 * gigabytes)


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "8 petabytes": ("numpy", lambda: npy_header("'<f8'", "(1048576, 1048576, 1024)") + bytes(64)),
    "shape that overflows 64 bits": ("numpy", lambda: npy_header("'<f8'", "(4294967296, 4294967296)") + bytes(64)),
    "shape over 64 bits": ("numpy", lambda: npy_header("'<f8'", f"({1 << 80}, 2, 2)") + bytes(64)),
    "negative shape": ("numpy", lambda: npy_header("'<f8'", "(-1, 2, 2)") + bytes(64)),
    "empty but huge": ("numpy", lambda: npy_header("'<f8'", f"(0, {1 << 40}, 2)") + bytes(64)),
    "elements of a gigabyte": ("numpy", lambda: npy_header("'|V1073741824'", "(1024, 2, 2)") + bytes(64)),
    "header of 4 gigabytes": ("numpy", lambda: b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"{" * 1000),
    "header that nests": ("numpy", lambda: b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000),
    "header that is cut off": ("numpy", lambda: b"\x93NUMPY\x01\x00\x09\x00{'descr': "),
    "pickled objects": ("numpy", lambda: npy_header("'|O'", "(4, 32, 24)") + b"cos\nsystem\n(S'touch pwned'\ntR."),
    "NIfTI-1 of 250 terabytes": ("nifti", lambda: nifti((32767, 32767, 32767)) + bytes(8)),
    "the same in 7 dimensions": ("nifti", lambda: nifti((32767,) * 7) + bytes(8)),
    "NIfTI-1 with negative sizes": ("nifti", lambda: nifti((-32768, -1, 5)) + bytes(8)),
    "NIfTI-2 of 8 exabytes": ("nifti", lambda: nifti((1 << 20, 1 << 20, 1 << 20), two=True) + bytes(8)),
    "NIfTI-2 over 64 bits": ("nifti", lambda: nifti((1 << 62, 1 << 62, 1 << 62), two=True) + bytes(8)),
    "voxels after 4 exabytes": ("nifti", lambda: nifti((4, 4, 4), two=True, offset=1 << 62) + bytes(512)),
    "voxels at no place": ("nifti", lambda: nifti((4, 4, 4), offset=float("nan")) + bytes(512)),
    "gzip: 1 terabyte announced": (
        "nifti",
        lambda: gzip.compress(nifti((4096, 8192, 4096))) + zeros_compressed(1),
    ),
    "gzip: an extension of 2 gigabytes": (
        "nifti",
        lambda: gzip.compress(nifti((24, 32, 4), offset=2.0**31, extension=(1 << 31) - 16)) + zeros_compressed(3),
    ),
    "gzip: nothing but 4 gigabytes of zeros": ("nifti", lambda: zeros_compressed(4)),
    "gzip in gzip": ("nifti", lambda: gzip.compress(zeros_compressed(1))),
    "gzip that is cut off": ("nifti", lambda: gzip.compress(nifti((24, 32, 4), offset=352) + bytes(24576))[:-20]),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_files_that_unfold_are_refused(server: OrthancServer, ct: str, bomb: str) -> None:
    """By what their headers say: neither Orthanc nor the worker needs memory or time for them."""
    factory, make = BOMBS[bomb]
    data = make()
    assert len(data) < MAX_IMAGE_MB << 20, "small enough to be taken"
    processes = [server.pid, *workers(server)]
    for pid in processes:
        forget_peak(pid)
    before = {pid: memory(pid, "VmRSS") for pid in processes}
    began = time.monotonic()
    answer = server.post(f"/series/{ct}/derive/ct/{factory}", data=data)
    assert answer.status_code in (400, 422), answer.text
    assert "internal error" not in answer.text and answer.json()["Message"]
    assert time.monotonic() - began < 5.0
    assert set(workers(server)) == set(processes[1:]), "no worker died of it"
    for pid in processes:
        assert memory(pid, "VmHWM") - before[pid] < 100 << 20
    assert nothing_stored(server, ct)


def test_an_image_within_the_limit_is_taken(server: OrthancServer, ct: str) -> None:
    """The bounds above are not in the way: many zeros in a small file are a valid image."""
    file = io.BytesIO()
    np.save(file, np.zeros((4, 32, 24), np.uint8))
    assert server.post(f"/series/{ct}/derive/ct/numpy", data=file.getvalue()).status_code == 200
    packed = gzip.compress(nib.Nifti1Image(np.zeros((64, 64, 64), np.int16), np.eye(4)).to_bytes())
    answer = server.post(f"/series/{ct}/derive/ct/nifti", data=packed)
    assert len(packed) < 10_000 and answer.status_code == 200, answer.text
    for series in server.series_ids() - {ct}:
        server.delete(f"/series/{series}")
