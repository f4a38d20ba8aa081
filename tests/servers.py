"""A web server in this process that knows ranges, or does not, and notes what it was asked for."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """url: where it is, ending in "/"; files: or a status instead; sent: bytes of each answer to a GET. ranges: "bytes", "none", or "" if
    it does not say that it knows none.
    """

    def __init__(self, files: dict[str, bytes | int], ranges: str) -> None:
        self.files, self.sent = files, list[int]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(head=True)

            def do_GET(self) -> None:
                self.answer(head=False)

            def answer(self, head: bool) -> None:
                content = outer.files.get(self.path.partition("?")[0].lstrip("/"), 404)
                if isinstance(content, int):
                    self.send_error(content)
                    return
                found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                part = content
                if found and ranges == "bytes":
                    first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
                    part = content[first : last + 1]
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
                else:
                    self.send_response(200)
                if ranges:
                    self.send_header("Accept-Ranges", ranges)
                self.send_header("Content-Length", str(len(part)))
                self.end_headers()
                if not head:
                    outer.sent.append(len(part))
                    self.wfile.write(part)

            def log_message(self, *given: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@contextmanager
def serving(files: dict[str, bytes | int], ranges: str = "bytes") -> Iterator[Server]:
    server = Server(files, ranges)
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.server.shutdown()
        server.server.server_close()
        thread.join()
