"""The request: every wrong key is named, with what is expected there."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derived_series.errors import InvalidImage, InvalidRequest
from derived_series.jobs.record import digest_of, subject_of
from derived_series.jobs.requests.derive import DeriveRequest, parse_json

SERIES = "0123abcd-0123abcd-0123abcd-0123abcd-0123abcd"


def test_every_key() -> None:
    document = {
        "Blueprint": "ct",
        "Factory": "nifti",
        "Image": base64.b64encode(b"image").decode(),
        "Inputs": {"mask": SERIES},
        "FillingStrategy": "Copy",
        "Replace": {"SeriesDescription": "x", "0008,103E": None, "PatientSize": 1.7},
        "SeriesDescription": "Søren 山田",
        "Derivation": "GaussianBlur",
        "NaN": -1000,
        "Grid": "Parent",
        "Interpolation": "Nearest",
        "Outside": -1024,
        "TransferSyntax": "1.2.840.10008.1.2.4.90",
        "DryRun": True,
        "Synchronous": True,
        "Asynchronous": False,
        "Priority": -3,
        "IfExists": "Reuse",
        "Timeout": 12.5,
    }
    request = DeriveRequest.of(document)
    assert request.image_bytes() == b"image"
    assert request.nan == -1000.0
    kept = request.to_json()
    assert "Image" not in kept
    assert kept == {key: value for key, value in document.items() if key != "Image"}
    assert DeriveRequest.of(kept).to_json() == kept
    assert base64.b64encode(b"image").decode() not in repr(request)


def test_the_least_that_is_needed() -> None:
    request = DeriveRequest.of({"Pipeline": "p"})
    assert request.is_synchronous and request.if_exists == "New" and request.image_bytes() is None
    assert request.to_json() == {"Pipeline": "p"}


@pytest.mark.parametrize(
    ("keys", "synchronous"),
    [({}, True), ({"Synchronous": False}, False), ({"Asynchronous": True}, False), ({"Asynchronous": False}, True)],
)
def test_synchronous_unless_asked_otherwise(keys: dict[str, bool], synchronous: bool) -> None:
    assert DeriveRequest.of({"Pipeline": "p", **keys}).is_synchronous is synchronous


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], ["JSON array"]),
        ("text", ["JSON string"]),
        (None, ["JSON null"]),
        (3, ["JSON number"]),
        ({}, ["either a Pipeline, or a Blueprint and a Factory"]),
        ({"Blueprint": "ct"}, ["a Blueprint and a Factory"]),
        ({"Pipeline": "p", "Grid": "parent"}, ["Grid: 'Own' or 'Parent' is expected, not string"]),
        ({"Pipeline": "p", "Outside": 0}, ["Interpolation and Outside", '"Grid": "Parent"']),
        ({"Pipeline": "p", "Blueprint": "ct"}, ["Pipeline and Blueprint exclude each other"]),
        ({"Pipeline": "p", "Image": "AAAA"}, ["Pipeline and Image exclude"]),
        ({"Blueprint": "ct", "Factory": "numpy", "Parameters": {"a": 1}}, ["Parameters are a pipeline's"]),
        ({"Pipeline": "p", "Synchronous": True, "Asynchronous": True}, ["contradict"]),
        ({"Pipeline": "p", "Synchronous": False, "Asynchronous": False}, ["contradict"]),
        ({"pipeline": "p"}, ["unknown key 'pipeline'"]),
        ({"Pipeline": "p", "Foo": 1, "Bar": 2}, ["unknown key 'Foo'", "unknown key 'Bar'"]),
        ({"Pipeline": ""}, ["Pipeline", "at least 1 character"]),
        ({"Pipeline": 3}, ["Pipeline", "a string is expected, not number 3"]),
        ({"Pipeline": "p", "TransferSyntax": "JPEG2000"}, ["TransferSyntax", "'JPEG2000'", "JPEG2000Lossless", "RLE"]),
        ({"Pipeline": "p", "TransferSyntax": 3}, ["TransferSyntax", "a string is expected, not number 3"]),
        ({"Pipeline": "p", "Priority": "5"}, ["Priority", 'not string "5"']),
        ({"Pipeline": "p", "Priority": 5.5}, ["Priority"]),
        ({"Pipeline": "p", "DryRun": "false"}, ["DryRun", "boolean"]),
        ({"Pipeline": "p", "Timeout": 0}, ["Timeout", "greater than 0"]),
        ({"Pipeline": "p", "FillingStrategy": "copy"}, ["FillingStrategy", "'Discard' or 'Copy'"]),
        ({"Pipeline": "p", "IfExists": "Keep"}, ["IfExists", "'New', 'Reuse' or 'Replace'"]),
        ({"Pipeline": "p", "Inputs": {"mask": "../../etc/passwd"}}, ["Inputs.mask"]),
        ({"Pipeline": "p", "Inputs": {"mask": SERIES.upper()}}, ["Inputs.mask"]),
        ({"Pipeline": "p", "SeriesDescription": "x" * 65}, ["SeriesDescription", "64"]),
        ({"Pipeline": "p", "Parameters": [1]}, ["Parameters"]),
    ],
)
def test_what_is_wrong_is_named(document: Any, words: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        DeriveRequest.of(document)
    for word in words:
        assert word in caught.value.message
    assert caught.value.remedy


def test_long_values_are_not_repeated_at_length() -> None:
    with pytest.raises(InvalidRequest) as caught:
        DeriveRequest.of({"Pipeline": ["x" * 10000]})
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("image", ["%%%", "AAA", "AAAA\n====", "é"])
def test_an_image_that_is_not_base64(image: str) -> None:
    request = DeriveRequest.of({"Blueprint": "ct", "Factory": "numpy", "Image": image})
    with pytest.raises(InvalidImage, match="base64"):
        request.image_bytes()


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"", "the body is empty"),
        (b" \n", "the body is empty"),
        (b"{", "line 1, column 2"),
        (b'{"a": NaN}', "NaN is not a JSON value"),
        (b'{"a": 1, "a": 2}', "'a' is there twice"),
        (b"\xff\xfe{}", "not JSON"),
        (b"\xc3\x28", "not JSON"),
        (b"[" * 100000, "nested more than"),
        (b'{"a": ' + b"7" * 5000 + b"}", "7777... is too large"),
        (b"[" * 40 + b"]" * 40, "nested"),
    ],
)
def test_what_is_not_json(body: bytes, match: str) -> None:
    with pytest.raises(InvalidRequest, match=match) as caught:
        parse_json(body, "the body")
    assert caught.value.remedy
    assert not re.search("recursion|codec|int_max|ValueError", caught.value.message), "it speaks of JSON, not of Python"


@pytest.mark.parametrize("image", ["", "  "])
def test_an_empty_image(image: str) -> None:
    request = DeriveRequest.of({"Blueprint": "ct", "Factory": "numpy", "Image": image})
    with pytest.raises(InvalidImage, match="Image is empty") as caught:
        request.image_bytes()
    assert caught.value.remedy


@given(st.binary(max_size=40))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        parse_json(body, "the body")
    except InvalidRequest:
        pass


def test_digests() -> None:
    first = digest_of(SERIES, {"Pipeline": "p", "Parameters": {"a": 1, "b": 2}}, None, "hash")
    assert first == digest_of(SERIES, {"Parameters": {"b": 2, "a": 1}, "Pipeline": "p", "Priority": 4}, None, "hash")
    assert first != digest_of(SERIES, {"Pipeline": "p", "Parameters": {"a": 1, "b": 3}}, None, "hash")
    assert first != digest_of(SERIES, {"Pipeline": "p", "Parameters": {"a": 1, "b": 2}}, None, "other")
    assert digest_of(SERIES, {}, b"1", "") != digest_of(SERIES, {}, b"2", "")
    assert subject_of(SERIES, {"Pipeline": "p", "Parameters": {"a": 1}}) == subject_of(SERIES, {"Pipeline": "p"})
    assert subject_of(SERIES, {"Pipeline": "p"}) != subject_of(SERIES, {"Pipeline": "q"})
    assert subject_of(SERIES, {"Pipeline": "p"}) != subject_of(SERIES, {"Pipeline": "p", "Orientation": "Axial"})
