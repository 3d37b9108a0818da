"""An Orthanc whose workers reach it through a slow proxy; a module's ``pipelines`` are in its blueprint folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from orthanc_server import OrthancServer, free_port
from server_fixtures import settings
from slow_proxy import SlowProxy, slow_proxy


@pytest.fixture(scope="module")
def proxy() -> Iterator[SlowProxy]:
    with slow_proxy(free_port()) as slow:
        yield slow


@pytest.fixture(scope="module")
def running(
    orthanc_installed: None,
    tmp_path_factory: pytest.TempPathFactory,
    proxy: SlowProxy,
    pipelines: Mapping[str, str],
) -> Iterator[OrthancServer]:
    """Run one Orthanc for the module. :param pipelines: a fixture of the module: the text of each file by its name."""
    folder = tmp_path_factory.mktemp("server")
    changes = settings(folder / "library", OrthancUrl=proxy.url)
    for name, text in pipelines.items():
        (folder / "library" / name).write_text(text)
    with OrthancServer(folder, changes) as server:
        proxy.server = server
        yield server


@pytest.fixture
def server(running: OrthancServer, proxy: SlowProxy) -> OrthancServer:
    proxy.open()
    running.delete_all()
    return running
