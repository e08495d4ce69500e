"""moto's S3, one request at a time and on connections that stay open: ``python -m tests.store.s3 PORT``.

moto's own server closes each connection, looks anew at each request which of all services it is for, and
takes no lock between the look at a key and the write: of two puts on one condition both could be carried out.
"""

from __future__ import annotations

import io
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.test import run_wsgi_app


class Listener(ThreadingHTTPServer):
    """Listens on loopback, a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.lock = threading.Lock()
        self.service = create_backend_app("s3")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Take it as it comes: clients of these tests are killed, and their connections cut."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Reads a request whole, so that nothing is asked by halves, and has it carried out."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Listener

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def carry_out(self) -> None:
        """Answer one request as the service does."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        with self.server.lock:
            pieces, status, headers = run_wsgi_app(self.server.service, self.environment(body), buffered=True)
        answer = b"".join(pieces)
        code, _, reason = status.partition(" ")
        self.send_response_only(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def environment(self, body: bytes) -> dict[str, Any]:
        """Give the request as WSGI (PEP 3333) has it."""
        path, _, query = self.path.partition("?")
        headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}
        return {
            **headers,
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": self.path,
            "REQUEST_URI": self.path,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.protocol_version,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = carry_out  # noqa: N815 - names of http.server


if __name__ == "__main__":
    Listener(int(sys.argv[1])).serve_forever()
