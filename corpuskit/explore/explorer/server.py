"""The explorer's web server: this machine only, a secret in every address, no other origin, no other file.

A page of another site that a browser has open can send requests to this machine too. It does not know the token; and
what names another host (DNS rebinding) or comes from another origin is refused before anything is looked at.
"""

from __future__ import annotations

import hmac
import json
import math
import secrets
from collections.abc import Iterator
from decimal import Decimal
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pydantic import ValidationError, validate_call

from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.explore.explorer.answers import QUESTIONS, Answers
from corpuskit.explore.report.charts import SCRIPT, library
from corpuskit.explore.report.page import COLOURS

HOST = "127.0.0.1"
LONGEST = 1 << 20
"""Bytes of a question."""

EXACT = 1 << 53
"""Up to here JavaScript has all whole numbers; larger ones, such as ids, are sent as text."""

STATIC = Path(__file__).parent / "static"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}

HEADERS = {
    # plotly.js sets styles of its own
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Serves one run on this machine's own address.

    Args:
        place: the run's root. port: 0 for any that is free.

    Attributes:
        address: of the page, with its token.

    Raises:
        UsageError: there is no run in the root, or the port is taken.
    """

    daemon_threads = True

    def __init__(self, place: str, port: int = 0) -> None:
        self.answers = Answers(place)
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(f"port {port} cannot be had: {error}", "leave `--port` out for one that is free") from None
        self.address = f"http://{HOST}:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, str]:
        """What a browser that means this server calls it."""
        return f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "corpuskit"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        """The page and its files."""
        if (path := self._allowed()) is None:
            return
        if path == "plotly.js":
            self._send(library().encode(), ".js")
        elif path == "charts.js":
            self._send(SCRIPT.encode(), ".js")
        elif path == "colours.css":
            self._send(COLOURS.encode(), ".css")
        elif (file := STATIC / (path or "index.html")).name in {
            one.name for one in STATIC.iterdir()
        } and "/" not in path:
            self._send(file.read_bytes(), file.suffix)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        """A question."""
        if (path := self._allowed()) is None:
            return
        name = path.removeprefix("ask/")
        if name not in QUESTIONS or name == path:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such question")
            return
        try:
            answer = self._answer(getattr(self.server.answers, name))
        except CorpuskitError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, error.message, error.hint)
            return
        if isinstance(answer, Iterator):
            self._stream(answer)
        else:
            self._send(_json(answer), ".json")

    def _answer(self, question: Any) -> Any:
        """Ask with the JSON object of the body as parameters.

        Raises:
            UsageError: the body is none, or has others than the question takes.
        """
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or not length.isdigit() or int(length) > LONGEST:
            raise UsageError("a question is a JSON object of at most 1 MiB")
        try:
            given = json.loads(self.rfile.read(int(length)))
            if not isinstance(given, dict):
                raise UsageError(f"a question is a JSON object, not {type(given).__name__}")
            return validate_call(question)(**given)
        except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"not a question: {error}") from None

    def _allowed(self) -> str | None:
        """The path behind the token, if the request comes from the page of this server; else it is refused."""
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        same = self.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        if host not in self.server.hosts or not same or origin not in (None, f"http://{host}"):
            self._refuse(HTTPStatus.FORBIDDEN, "another host or origin has no access")
            return None
        token, slash, path = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "the address lacks the token that `corpuskit explore` printed")
            return None
        return path

    # -- replies -------------------------------------------------------------------------------------------------------

    def _stream(self, answer: Iterator[Any]) -> None:
        """A line of JSON for each, as it comes; whoever asked ends the search by going away."""
        try:
            first = next(answer, None)
        except CorpuskitError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, error.message, error.hint)
            return
        self._head(HTTPStatus.OK, "application/x-ndjson")
        while first is not None:
            self.wfile.write(_json(first) + b"\n")
            first = next(answer, None)

    def _refuse(self, status: HTTPStatus, message: str, hint: str | None = None) -> None:
        self._send(_json({"error": message, "hint": hint}), ".json", status)

    def _send(self, content: bytes, suffix: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._head(status, KINDS.get(suffix, "application/json"), len(content))
        self.wfile.write(content)

    def _head(self, status: HTTPStatus, kind: str, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def handle(self) -> None:
        """Without a traceback where the browser went away."""
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: addresses hold the token."""


def _json(value: Any) -> bytes:
    return json.dumps(_plain(value), ensure_ascii=True, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    """What JSON and JavaScript can hold."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < EXACT else str(value)
    if isinstance(value, Decimal):
        return _plain(int(value) if value == value.to_integral_value() else float(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)
