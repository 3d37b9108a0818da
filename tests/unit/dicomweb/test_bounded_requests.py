"""A request has an end, however slowly the server goes on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from derived_series.dicomweb.client import Client, Connection
from derived_series.errors import StorageError

Behaviour = Callable[[socket.socket], None]


def _silent(peer: socket.socket) -> None:
    time.sleep(30)


def _dribbling(peer: socket.socket, beginning: bytes) -> None:
    peer.sendall(beginning)
    while True:
        peer.sendall(b"x")
        time.sleep(0.05)


def _in_its_headers(peer: socket.socket) -> None:
    peer.recv(1 << 16)
    _dribbling(peer, b"HTTP/1.1 200 OK\r\nX-Long: ")


def _in_its_body(peer: socket.socket) -> None:
    peer.recv(1 << 16)
    _dribbling(peer, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")


def _in_a_body_without_end(peer: socket.socket) -> None:
    peer.recv(1 << 16)
    _dribbling(peer, b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n")


def _while_it_reads(peer: socket.socket) -> None:
    while peer.recv(1 << 12):
        time.sleep(0.05)


@pytest.fixture
def served() -> Iterator[Callable[[Behaviour], str]]:
    """Has each connection to a port treated in a way."""
    listening = socket.socket()

    def serve(behaviour: Behaviour) -> str:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        threading.Thread(target=accept, args=(behaviour,), daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    def accept(behaviour: Behaviour) -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=treat, args=(behaviour, peer), daemon=True).start()

    def treat(behaviour: Behaviour, peer: socket.socket) -> None:
        with peer:
            try:
                behaviour(peer)
            except OSError:
                return

    yield serve
    listening.close()


@pytest.mark.parametrize("behaviour", [_silent, _in_its_headers, _in_its_body, _in_a_body_without_end, _while_it_reads])
def test_33_a_request_ends_however_slowly_the_server_goes_on(
    served: Callable[[Behaviour], str], behaviour: Behaviour
) -> None:
    with Client(Connection(served(behaviour), timeout=20)) as client:
        ended = threading.Event()
        error: list[BaseException] = []

        def ask() -> None:
            try:
                client.send("POST", client.connection.base_url, data=b"x" * (32 << 20), within=0.1)
            except StorageError as failure:
                error.append(failure)
            ended.set()

        threading.Thread(target=ask, daemon=True).start()
        assert ended.wait(15)
        (failure,) = error
        assert isinstance(failure, StorageError) and failure.transient
        assert "0.1 s" in (failure.details or "")


def test_a_request_in_time_is_not_ended_later(served: Callable[[Behaviour], str]) -> None:
    def answering(peer: socket.socket) -> None:
        while peer.recv(1 << 16):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with Client(Connection(served(answering))) as client:
        assert client.send("POST", client.connection.base_url, data=b"x", within=0.3).text == "ok"
        time.sleep(0.5)
        assert client.send("POST", client.connection.base_url, data=b"x", within=30).text == "ok"
