"""The container's health check: exit 0 when the plugin answers. Needs the standard library only."""

from __future__ import annotations

import base64
import os
import sys
import urllib.request

URL = "http://127.0.0.1:8042/derived-series/status"


def main() -> int:
    login = f"orthanc:{os.environ.get('ORTHANC_PASSWORD', '')}".encode()
    request = urllib.request.Request(URL, headers={"Authorization": f"Basic {base64.b64encode(login).decode()}"})
    try:
        with urllib.request.urlopen(request, timeout=8) as answer:
            answer.read()
    except OSError as error:  # refused, timed out, or an HTTP status of 4xx or 5xx
        print(f"{URL}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
