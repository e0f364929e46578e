"""A real server of S3's protocol on loopback, and one before it that loses, refuses, delays or repeats answers."""

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.store.relay import Answer, Handler, Relay

SECRETS = {"AWS_ACCESS_KEY_ID": "MARKED-KEY-ID-6f1d", "AWS_SECRET_ACCESS_KEY": "MARKED-SECRET-90ae"}


def environment(port: int) -> dict[str, str]:
    """What reaches the server at a port, as a user would say it."""
    endpoint = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    return endpoint | SECRETS


@contextlib.contextmanager
def serving(bucket: str) -> Iterator[int]:
    """The port of a server with an empty bucket."""
    pytest.importorskip("moto", reason="the server of S3's protocol is moto's")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                wanted = urllib.request.Request(f"http://127.0.0.1:{port}/{bucket}", method="PUT")
                urllib.request.urlopen(wanted, timeout=5).close()
                break
            assert process.poll() is None, "the server of S3's protocol ended"
            time.sleep(0.1)
        else:
            raise TimeoutError("the server of S3's protocol does not answer")
        _forget_servers()
        yield port
    finally:
        _forget_servers()
        process.kill()
        process.wait()


def _forget_servers() -> None:
    """s3fs keeps what it opened, with the address of the server that was asked then."""
    with contextlib.suppress(ImportError):
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()


def upload(folder: Path, url: str) -> None:
    """Put the files of a folder into a bucket."""
    from corpuskit.store.objects import ObjectStore

    store = ObjectStore.from_url(url)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put(path.relative_to(folder).as_posix(), path.read_bytes())


class Faulty(Relay):
    """Passes requests on to a server, but the n-th ones as `fault` says.

    Args:
        port: of the server. every: n.
        faults: which come in turn: `refused` (503), `reset` (the connection is closed without an answer), `lost` (done,
            but the connection is closed without an answer), `slow` (a fifth of a second), `stale` (a listing is
            answered as it was the last time).
        dead: as many requests are refused at first.
        refused: what is in an address that is always refused.
        flips: as many of the first answers to each request for a range have a bit changed.
    """

    def __init__(self, port: int, faults: Sequence[str], every: int, flips: int = 0, dead: int = 0) -> None:
        self.every = every
        self.counted, self.turns, self.done = itertools.count(1), itertools.cycle(faults), Counter[str]()
        self.refused: tuple[str, ...] = ()
        self.dead, self.flips, self.ranges = dead, flips, Counter[tuple[str, str]]()
        self.listings: dict[str, Answer] = {}
        super().__init__(port, _Handler)


class _Handler(Handler):
    server: Faulty

    def _pass_on(self) -> None:
        body = self.body()
        number = next(self.server.counted)
        fault = "" if number % self.server.every else next(self.server.turns)
        if number <= self.server.dead or any(word in self.path for word in self.server.refused):
            fault = "refused"
        listing = "list-type" in self.path
        self.server.done[fault] += 1
        if fault == "refused":
            self.say(503, b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>", [])
            return
        if fault == "reset":
            self.close_connection = True
            return
        if fault == "slow":
            time.sleep(0.2)
        if fault == "stale" and listing and self.path in self.server.listings:
            self.say(*self.server.listings[self.path])
            return
        found = self.ask(self.command, self.path, body, dict(self.headers.items()))
        if "Range" in self.headers and self.command == "GET":
            self.server.ranges[self.path, self.headers["Range"]] += 1
            if self.server.ranges[self.path, self.headers["Range"]] <= self.server.flips:
                found = found[0], bytes([found[1][0] ^ 1]) + found[1][1:], found[2]
        if fault == "lost":
            self.close_connection = True
            return
        if listing:
            self.server.listings[self.path] = found
        self.say(*found)

    def __getattr__(self, name: str) -> object:
        """`do_GET` and so on."""
        if name.startswith("do_"):
            return self._pass_on
        raise AttributeError(name)


@contextlib.contextmanager
def faulty(
    port: int, faults: Sequence[str] = (), every: int = 1 << 30, flips: int = 0, dead: int = 0
) -> Iterator[Faulty]:
    """A server before the one at `port`."""
    with Faulty(port, faults, every, flips, dead) as server:
        yield server


def set_environment(patch: pytest.MonkeyPatch, port: int, tmp: Path) -> None:
    """Let this process and those that it starts reach the server, and work below `tmp`."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            patch.delenv(name)
    for name, value in environment(port).items():
        patch.setenv(name, value)
    tmp.mkdir(exist_ok=True)
    patch.setenv("TMPDIR", str(tmp))
    patch.setattr("tempfile.tempdir", None)
