"""A server that knows single objects and no more of S3, and need not behave."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.store.servers import KEY_ID, Server


@dataclass
class Manners:
    """How a look-alike behaves, and what it was asked."""

    honours_condition: bool = True
    conflicts: int = 0
    """How many puts on a condition to answer with 409 before the first is carried out."""
    lets_in: bool = True
    objects: dict[str, bytes] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, manners: Manners) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.manners = manners


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes = b"", code: str = "") -> None:
        if code:
            # As servers do, it quotes who asked and how that was signed.
            quoted = f"<AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId>{self.headers.get('Authorization', '')}"
            body = f"<Error><Code>{code}</Code>{quoted}</Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self) -> None:
        key, manners = unquote(self.path), self.server.manners
        body = self.rfile.read(int(self.headers["Content-Length"]))
        manners.puts.append(key)
        conditional = self.headers.get("If-None-Match") == "*" and manners.honours_condition
        if not manners.lets_in:
            self.answer(403, code="SignatureDoesNotMatch")
        elif conditional and manners.conflicts > 0:
            manners.conflicts -= 1
            self.answer(409, code="ConditionalRequestConflict")
        elif conditional and key in manners.objects:
            self.answer(412, code="PreconditionFailed")
        else:
            manners.objects[key] = body
            self.answer(200)

    def do_GET(self) -> None:
        address, manners = urlsplit(self.path), self.server.manners
        if not manners.lets_in:
            self.answer(403, code="SignatureDoesNotMatch")
        elif "list-type" in address.query:
            self.answer(200, _listed(manners, unquote(address.path), parse_qs(address.query)["prefix"][0]))
        elif (body := manners.objects.get(unquote(self.path))) is None:
            self.answer(404, code="NoSuchKey")
        else:
            self.answer(200, body)

    def do_HEAD(self) -> None:
        self.do_GET()


def _listed(manners: Manners, bucket: str, prefix: str) -> bytes:
    when = "<LastModified>2026-01-01T00:00:00Z</LastModified>"
    names = [key.removeprefix(f"{bucket}/") for key in manners.objects]
    rows = [f"<Contents><Key>{name}</Key><Size>1</Size>{when}</Contents>" for name in names]
    found = "".join(row for name, row in zip(names, rows, strict=True) if name.startswith(prefix))
    return f"<ListBucketResult>{found}</ListBucketResult>".encode()


@contextlib.contextmanager
def lookalike(manners: Manners) -> Iterator[Server]:
    """Run such a server with these manners."""
    with _Server(manners) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Server(server.server_port)
        finally:
            server.shutdown()
