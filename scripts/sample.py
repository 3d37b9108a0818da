"""Stores a sample parent series (a CT of a head of ellipsoids) in the running Orthanc and derives series from it."""

from __future__ import annotations

import sys
from typing import Any

import requests

import server
from derived_series.dicom.encoding.ucum import readable
from phantoms import ct_phantom, encode

REQUEST = {"Pipeline": "gaussian_smoothing", "Parameters": {"SigmaMm": 2.0}, "IfExists": "Reuse"}
#: The pipeline that makes several results in one job: a mask, the images within it, and numbers.
SEVERAL = {"Pipeline": "body_mask", "IfExists": "Reuse"}


class SampleError(Exception):
    """A request that Orthanc refused; the message has its answer."""


def main() -> int:
    config = server.settings()
    url, client = server.base_url(config), server.session(config)
    try:
        for problem in client.get(f"{url}/derived-series/status", timeout=120).json().get("Problems", []):
            print(f"sample: not loaded      {problem['File']}: {problem['Message']}", flush=True)
        parent = store_parent(client, url)
        print(f"sample: parent series   {url}/app/explorer.html#series?uuid={parent}", flush=True)
        print(f"sample:                 PARENT={parent}", flush=True)
        derived = post(client, f"{url}/series/{parent}/derive", json=REQUEST)
        several = post(client, f"{url}/series/{parent}/derive", json=SEVERAL)
    except (SampleError, requests.RequestException) as error:
        print(f"sample: {error}", file=sys.stderr)
        return 1
    print(f"sample: derived series  {url}/app/explorer.html#series?uuid={derived['ID']}")
    print(f"sample:                 DERIVED={derived['ID']}")
    print(f"sample:                 {derived['InstancesCount']} instances, {derived['SeriesInstanceUID']}")
    for warning in derived.get("Warnings", []):
        print(f"sample: warning         {warning}")
    print(f"sample: side by side    {url}/derived-series/review/{derived['ID']}")
    for each in several["Series"]:
        print(f"sample: {each['Output']:<15} {url}/derived-series/review/{each['ID']}")
    for name, value in several["Values"].items():
        print(f"sample: {name:<15} {value['Value']} {readable(value['Unit'])}")
    print(f"sample: all of them     {url}/derived-series/")
    return 0


def store_parent(client: requests.Session, url: str) -> str:
    """Store the parent; return its Orthanc ID. Its UIDs are always the same, so a second call changes nothing."""
    parents = {
        post(client, f"{url}/instances", data=encode(dataset))["ParentSeries"]
        for dataset in ct_phantom(40, 256, 256, spacing=4.0, pixel_spacing=(0.9, 0.9), patient_name="Sample^Head")
    }
    (parent,) = parents
    return str(parent)


def post(client: requests.Session, url: str, **options: Any) -> dict[str, Any]:
    answer = client.post(url, timeout=120, **options)
    if not answer.ok:
        raise SampleError(f"POST {url} was answered {answer.status_code}: {answer.text}")
    result: dict[str, Any] = answer.json()
    return result


if __name__ == "__main__":
    sys.exit(main())
