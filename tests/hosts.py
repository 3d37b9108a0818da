"""Hosts in network and mount namespaces: none sees another's folders, and each cable can be pulled.

It needs root rights and the programs ip, iptables and unshare.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

_ALL_PROTOCOLS = 3  # ETH_P_ALL of linux/if_ether.h
_MOST_BYTES = 1 << 16


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


class Network:
    """Hosts on one wire. :param names: of the hosts; the test itself is the host ``self.test``."""

    def __init__(self, names: Sequence[str]):
        self._mark = f"ds{os.getpid() % 10000}"
        self._subnet = f"10.{77 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
        self._bridge = f"{self._mark}br"
        self.hosts = {name: f"{self._subnet}.{number}" for number, name in enumerate(names, 1)}

    def __enter__(self) -> Network:
        run("ip", "link", "add", self._bridge, "type", "bridge")
        run("ip", "addr", "add", f"{self._subnet}.254/24", "dev", self._bridge)
        run("ip", "link", "set", self._bridge, "up")
        for number, (name, address) in enumerate(self.hosts.items()):
            space, outer, inner = self.space(name), f"{self._mark}o{number}", f"{self._mark}i{number}"
            run("ip", "netns", "add", space)
            run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
            run("ip", "link", "set", outer, "master", self._bridge, "up")
            run("ip", "link", "set", inner, "netns", space)
            run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", inner)
            run("ip", "-n", space, "link", "set", inner, "up")
            run("ip", "-n", space, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.hosts:
            subprocess.run(["ip", "netns", "del", self.space(name)], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self._bridge], check=False, capture_output=True)

    def space(self, name: str) -> str:
        return f"{self._mark}{name}"

    def within(self, name: str, hidden: Sequence[Path]) -> list[str]:
        """The command before another one to run it on a host. :param hidden: folders of other hosts."""
        script = "".join(f"mount -t tmpfs none '{folder}' && " for folder in hidden) + 'exec "$@"'
        return ["ip", "netns", "exec", self.space(name), "unshare", "-m", "sh", "-c", script, "sh"]

    def refuse_connections_to(self, name: str, but: int | None = None) -> None:
        """Set up a firewall: nobody may connect to a host, except to one port."""
        rule = ["-i", "ds+", "-p", "tcp", "--syn"]
        let_in = [] if but is None else [["--dport", str(but), "-j", "ACCEPT"]]
        for port in (*let_in, ["-j", "DROP"]):
            run("ip", "netns", "exec", self.space(name), "iptables", "-A", "INPUT", *rule, *port)

    def cut(self, name: str, *, again: bool = False) -> None:
        """Pull a host's cable, or plug it in again."""
        number = list(self.hosts).index(name)
        run("ip", "link", "set", f"{self._mark}o{number}", "up" if again else "down")

    def capture(self) -> Capture:
        """Capture all traffic on the wire."""
        return Capture(self._bridge)


class Capture:
    """The traffic on a link while this was open."""

    def __init__(self, link: str):
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
        self._socket.bind((link, 0))
        self._socket.settimeout(0.5)
        self._ending = threading.Event()
        self._packets: list[bytes] = []
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def _work(self) -> None:
        while not self._ending.is_set():
            try:
                self._packets.append(self._socket.recv(_MOST_BYTES))
            except TimeoutError:
                continue

    @property
    def content(self) -> bytes:
        return b"\n".join(self._packets)
