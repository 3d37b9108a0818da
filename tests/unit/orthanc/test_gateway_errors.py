"""What Orthanc's own errors become, where the module ``orthanc`` is a stand-in."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from derived_series.errors import Busy, DerivedSeriesError, NotFound

GATEWAY = "derived_series.orthanc.gateway"
CODES = {
    "DATABASE": 11,
    "DATABASE_CANNOT_SERIALIZE": 44,
    "UNKNOWN_RESOURCE": 17,
    "INEXISTENT_ITEM": 7,
    "INEXISTENT_FILE": 15,
    "PLUGIN": 1,
}


class OrthancException(Exception):
    """As the module's: its argument is a code."""


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The functions of the gateway that call Orthanc, which answers with ``error`` of the stand-in."""
    stand_in: Any = ModuleType("orthanc")
    stand_in.OrthancException, stand_in.ErrorCode = OrthancException, SimpleNamespace(**CODES)
    stand_in.error = None

    def fails(*_: object) -> None:
        raise OrthancException(CODES[stand_in.error])

    for name in ("RestApiGet", "RestApiGetAfterPlugins", "RestApiPost", "RestApiPut", "RestApiDelete"):
        setattr(stand_in, name, fails)
    monkeypatch.setitem(sys.modules, "orthanc", stand_in)
    monkeypatch.delitem(sys.modules, GATEWAY, raising=False)
    module = importlib.import_module(GATEWAY)
    yield SimpleNamespace(of=module.PluginGateway.__new__(module.PluginGateway), orthanc=stand_in)
    monkeypatch.delitem(sys.modules, GATEWAY, raising=False)


CALLS = {
    "get": lambda of: of.get("/series/x"),
    "get_any": lambda of: of.get_any("/dicom-web/servers"),
    "post": lambda of: of.post("/tools/find", "{}"),
    "put": lambda of: of.put("/series/x/metadata/1", b""),
    "delete": lambda of: of.delete("/series/x"),
}


@pytest.mark.parametrize("call", list(CALLS))
@pytest.mark.parametrize("error", ["DATABASE", "DATABASE_CANNOT_SERIALIZE"])
def test_a_database_that_is_away_or_in_its_own_way_is_asked_again(gateway: Any, call: str, error: str) -> None:
    """Not found would mean that a series is gone: its rules would be dropped."""
    gateway.orthanc.error = error
    with pytest.raises(Busy, match="Orthanc's database does not answer") as busy:
        CALLS[call](gateway.of)
    assert busy.value.retry_after


@pytest.mark.parametrize("call", list(CALLS))
@pytest.mark.parametrize("error", ["UNKNOWN_RESOURCE", "INEXISTENT_ITEM"])
def test_what_is_not_there_is_not_found(gateway: Any, call: str, error: str) -> None:
    gateway.orthanc.error = error
    with pytest.raises(NotFound):
        CALLS[call](gateway.of)


@pytest.mark.parametrize("call", list(CALLS))
@pytest.mark.parametrize("error", ["PLUGIN", "INEXISTENT_FILE"])
def test_what_fails_in_orthanc_is_not_taken_for_missing_and_names_its_method(
    gateway: Any, call: str, error: str
) -> None:
    """A file storage that is away for a moment has lost nothing."""
    gateway.orthanc.error = error
    method = call.partition("_")[0].upper()
    with pytest.raises(DerivedSeriesError, match=f"^{method} /.+ failed in Orthanc") as failed:
        CALLS[call](gateway.of)
    assert not isinstance(failed.value, NotFound)
