"""Servers on loopback that speak S3, for the tests of the store."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

BUCKET = "factory-objects"
ROOT = Path(__file__).resolve().parents[2]
KEY_ID, SECRET = "AKIDOFTHETESTS", "the+secret/of/the=tests"

# Carries one request out: its method, its path and its body.
Ask = Callable[..., bytes]


@dataclass(frozen=True)
class Server:
    """A server that speaks S3 and asks nobody who they are."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """What says to a client where the server is and who asks."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DISABLE_SYSTEM_CERTIFICATES": "true",  # a bare machine has none, and none is needed here
            "NO_PROXY": "127.0.0.1",
        }

    @contextlib.contextmanager
    def line(self) -> Iterator[Ask]:
        """A connection on which the server is asked directly; it wants to see a name, and believes it."""
        who = f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20260101/us-east-1/s3/aws4_request"
        headers = {"Authorization": who, "Content-Type": "application/octet-stream"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:

            def ask(method: str, path: str, body: bytes | None = None) -> bytes:
                connection.request(method, f"/{path}", body, headers)
                answer = connection.getresponse()
                told = answer.read()
                assert answer.status < 300, f"{method} {path}: {answer.status} {told.decode()}"
                return told

            yield ask

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Ask the server once."""
        with self.line() as ask:
            return ask(method, path, body)

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Every object below a prefix of the bucket, by what follows it."""
        found: dict[str, bytes] = {}
        listing, more = f"{BUCKET}?list-type=2&prefix={prefix}/", ""
        with self.line() as ask:
            while True:
                listed = ET.fromstring(ask("GET", listing + more))
                texts = [(each.tag.rpartition("}")[2], each.text or "") for each in listed.iter()]
                for key in (text for tag, text in texts if tag == "Key"):
                    found[key.removeprefix(f"{prefix}/")] = ask("GET", f"{BUCKET}/{key}")
                if "NextContinuationToken" not in dict(texts):
                    break
                more = f"&continuation-token={quote(dict(texts)['NextContinuationToken'], safe='')}"
        assert found
        return found

    def put(self, prefix: str, objects: dict[str, bytes]) -> None:
        """Put objects below a prefix of the bucket."""
        with self.line() as ask:
            for key, body in objects.items():
                ask("PUT", f"{BUCKET}/{prefix}/{key}", body)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def moto() -> Iterator[Server]:
    """Run moto's server with an empty bucket."""
    server = Server(free_port())
    command = [sys.executable, "-m", "tests.store.s3", str(server.port)]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT) as process,
    ):
        try:
            wait_for(server.port, process, log)
            server.call("PUT", BUCKET)
            yield server
        finally:
            process.terminate()


def wait_for(port: int, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    """Wait until somebody listens there; say what the process wrote where it ended or took too long."""
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            message = f"{process.args!r} did not start: {log.read().decode()}"
            raise RuntimeError(message)
        time.sleep(0.05)


def in_ci() -> bool:
    return os.environ.get("CI") == "true"
