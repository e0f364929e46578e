"""A server on loopback that stands before another one and passes requests on."""

import contextlib
import http.client
import http.server
import threading

Answer = tuple[int, bytes, list[tuple[str, str]]]
"""Status, content and headers."""


class Relay(http.server.ThreadingHTTPServer):
    """Listens on a free port until the block ends.

    Args:
        port: of the server behind it. handler: what is done with a request.
    """

    daemon_threads = True

    def __init__(self, port: int, handler: "type[Handler]") -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.target = port
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def __exit__(self, *given: object) -> None:
        self.shutdown()
        self._thread.join()
        super().__exit__(*given)

    def handle_error(self, *_: object) -> None:
        """A client that went is no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Asks the server behind, and answers."""

    protocol_version = "HTTP/1.1"
    server: Relay

    def log_message(self, *_: object) -> None:
        pass

    def body(self) -> bytes:
        """The content of the request."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """What the server behind answers."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheaders()

    def say(self, status: int, body: bytes, headers: list[tuple[str, str]]) -> None:
        """Answer; what is of the connection alone is this server's own."""
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "server", "date") and (
                name.lower() != "content-length" or self.command == "HEAD"
            ):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
