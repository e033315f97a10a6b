"""A web server for tests of downloads: it can break off, refuse ranges, or be down."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    ranges: bool = True  # whether Range is honoured
    break_after: list[int] = field(default_factory=list)  # bytes after which each coming answer breaks off
    errors: list[int] = field(default_factory=list)  # status codes of the coming answers
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # (path, Range) of each request


@contextmanager
def serve() -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            web.asked.append((self.path, wanted))
            body = web.files.get(self.path)
            if web.errors or body is None:
                self.send_error(web.errors.pop(0) if web.errors else 404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and web.ranges else 0
            if start and start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            self.wfile.write(body[start:][: web.break_after.pop(0) if web.break_after else None])
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
