"""A folder served as the data set `user/name` by the hub's protocol: `hub_server.py FOLDER` prints its address."""

import hashlib
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0" * 40


def entries(root):
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        kind, data = ("directory", name.encode()) if path.is_dir() else ("file", path.read_bytes())
        yield {"type": kind, "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": name}


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root = Path(sys.argv[1])

    def log_message(self, *_):
        pass

    def answer(self, data, status=200, **headers):
        self.send_response(status)
        headers = {"Content-Length": len(data), "X-Repo-Commit": COMMIT, "ETag": '"e"', **headers}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def answer_json(self, found, status=200, **headers):
        self.answer(json.dumps(found).encode(), status, Content_Type="application/json", **headers)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        wanted = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body)["paths"]
        self.answer_json([entry for entry in entries(self.root) if entry["path"] in wanted])

    def do_GET(self):
        url = urlsplit(self.path)
        path = unquote(url.path)
        if tree := re.fullmatch(r"/api/datasets/user/name/tree/main/?(.*)", path):
            above = f"{tree[1]}/" if tree[1] else ""
            below = [entry for entry in entries(self.root) if entry["path"].startswith(above)]
            deep = "recursive=true" in url.query.lower()
            self.answer_json([entry for entry in below if deep or "/" not in entry["path"][len(above) :]])
        elif re.fullmatch(r"/api/datasets/user/name(/revision/main)?", path):
            self.answer_json({"id": "user/name", "sha": COMMIT, "siblings": []})
        elif file := re.fullmatch(r"/datasets/user/name/resolve/main/(.+)", path):
            data = (self.root / file[1]).read_bytes()
            wanted = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted is None:
                self.answer(data)
            else:
                first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
                self.answer(data[first : last + 1], 206, Content_Range=f"bytes {first}-{last}/{len(data)}")
        else:
            self.answer_json({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET  # noqa: N815 - the name that the server looks for


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
