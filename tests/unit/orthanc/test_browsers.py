"""Which requests are taken for those of a foreign page. test_foreign_pages.py has a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from derived_series.errors import Forbidden
from derived_series.orthanc.browsers import Doorkeeper, leads_to
from derived_series.orthanc.config import OrthancConfiguration, Settings
from derived_series.orthanc.http import Request

HERE = Doorkeeper()
CONFIGURED = Doorkeeper(
    origins=frozenset({"https://portal.hospital.org", "http://other:81"}),
    hosts=frozenset({"pacs.hospital.org", "proxy:8443"}),
)
EVERYWHERE = Doorkeeper(any_host=True)

TAKEN = [
    pytest.param(HERE, {}, id="a program that sends nothing"),
    pytest.param(HERE, {"host": "127.0.0.1:8042"}, id="curl"),
    pytest.param(HERE, {"host": "localhost"}, id="localhost"),
    pytest.param(HERE, {"host": "LOCALHOST.:8042"}, id="localhost in full"),
    pytest.param(HERE, {"host": "[::1]:8042"}, id="an address of IPv6"),
    pytest.param(HERE, {"host": "192.168.1.5:8042", "origin": "http://192.168.1.5:8042"}, id="another address"),
    pytest.param(
        HERE,
        {"host": "127.0.0.1:8042", "origin": "http://127.0.0.1:8042", "sec-fetch-site": "same-origin"},
        id="a page of ours",
    ),
    pytest.param(HERE, {"host": "localhost", "origin": "https://localhost:443"}, id="the default port is named"),
    pytest.param(HERE, {"host": "localhost:443", "origin": "https://localhost"}, id="behind a proxy with HTTPS"),
    pytest.param(HERE, {"host": "localhost", "sec-fetch-site": "none"}, id="typed by the user"),
    pytest.param(
        CONFIGURED,
        {"host": "localhost", "origin": "https://portal.hospital.org", "sec-fetch-site": "cross-site"},
        id="an allowed origin",
    ),
    pytest.param(CONFIGURED, {"host": "pacs.hospital.org:8042"}, id="an allowed name"),
    pytest.param(CONFIGURED, {"host": "proxy:8443"}, id="an allowed name with its port"),
    pytest.param(EVERYWHERE, {"host": "pacs", "origin": "http://pacs"}, id="a server for others has any name"),
]
REFUSED = [
    pytest.param(HERE, {"host": "127.0.0.1:8042", "origin": "https://evil.example"}, id="a foreign origin"),
    pytest.param(HERE, {"host": "127.0.0.1:8042", "origin": "http://127.0.0.1:8043"}, id="another port"),
    pytest.param(HERE, {"host": "127.0.0.1:8042", "origin": "http://127.0.0.1"}, id="no port is another port"),
    pytest.param(HERE, {"host": "127.0.0.1", "origin": "null"}, id="a page in a sandbox"),
    pytest.param(HERE, {"host": "127.0.0.1", "origin": ""}, id="an empty origin"),
    pytest.param(HERE, {"host": "127.0.0.1", "origin": "http://127.0.0.1@evil.example"}, id="a name before the host"),
    pytest.param(HERE, {"host": "127.0.0.1", "origin": "ftp://127.0.0.1"}, id="another scheme"),
    pytest.param(HERE, {"host": "127.0.0.1", "sec-fetch-site": "cross-site"}, id="another site"),
    pytest.param(HERE, {"host": "127.0.0.1", "sec-fetch-site": " Same-Site"}, id="another page of the site"),
    pytest.param(
        HERE,
        {"host": "127.0.0.1", "origin": "http://127.0.0.1", "sec-fetch-site": "cross-site"},
        id="another site with our origin",
    ),
    pytest.param(HERE, {"host": "evil.example:8042", "origin": "http://evil.example:8042"}, id="a rebound name"),
    pytest.param(HERE, {"host": "127.0.0.1.evil.example"}, id="a name that begins like an address"),
    pytest.param(HERE, {"host": "evil-localhost"}, id="a name that ends like localhost"),
    pytest.param(HERE, {"host": "a b"}, id="no name at all"),
    pytest.param(CONFIGURED, {"host": "proxy:80"}, id="an allowed name with another port"),
    pytest.param(CONFIGURED, {"host": "localhost", "origin": "http://portal.hospital.org"}, id="without its HTTPS"),
    pytest.param(EVERYWHERE, {"host": "pacs", "origin": "http://evil.example"}, id="a server for others, too"),
]


@pytest.mark.parametrize(("doorkeeper", "headers"), TAKEN)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_is_taken(doorkeeper: Doorkeeper, headers: dict[str, str], method: str) -> None:
    doorkeeper.check(Request(method, "/", headers=headers))


@pytest.mark.parametrize(("doorkeeper", "headers"), REFUSED)
def test_what_is_refused(doorkeeper: Doorkeeper, headers: dict[str, str]) -> None:
    for method in ("POST", "PUT", "DELETE"):
        with pytest.raises(Forbidden) as caught:
            doorkeeper.check(Request(method, "/", headers=headers))
        assert "Allowed" in (caught.value.remedy or "")


def test_a_page_of_others_may_link_to_ours() -> None:
    """What only reads is let through: a link from another page is cross-site, and its answer is not for that page."""
    HERE.check(Request("GET", "/", headers={"host": "127.0.0.1", "sec-fetch-site": "cross-site"}))
    with pytest.raises(Forbidden, match=r"evil\.example"):
        HERE.check(Request("GET", "/", headers={"host": "evil.example"}))


def test_the_configuration_says_who_may_ask() -> None:
    def doorkeeper(configuration: dict[str, object], tmp: str = "/") -> Doorkeeper:
        settings = Settings.of(configuration.get("DerivedSeries", {}))
        return OrthancConfiguration.of(configuration, Path(tmp)).doorkeeper(settings)

    assert not doorkeeper({}).any_host and doorkeeper({"RemoteAccessAllowed": True}).any_host
    keys = {"AllowedHosts": ["pacs"], "AllowedOrigins": ["https://portal"], "OrthancUrl": "http://internal:8042/api"}
    keeper = doorkeeper({"RemoteAccessAllowed": True, "DerivedSeries": keys})
    assert not keeper.any_host and keeper.hosts == {"pacs", "internal"} and keeper.origins == {"https://portal"}


@pytest.mark.parametrize(
    ("uri", "ours"),
    [
        ("/series/x/derive", True),
        ("//series/./x/derive/", True),
        ("/series/x/%64erive", True),
        ("\\series\\x\\derive", True),
        ("/instances/../series/x/derive", True),
        ("/instances", False),
        ("/series/x/modify", False),
    ],
)
def test_addresses_are_ours_however_they_are_written(uri: str, ours: bool) -> None:
    assert leads_to(uri, [re.compile("/series/([^/]+)/derive")]) is ours
