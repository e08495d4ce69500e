"""Servers on loopback that speak S3, for the tests of the store."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import pytest

BUCKET = "factory-objects"
KEY_ID, SECRET = "AKIDOFTHETESTS", "the+secret/of/the=tests"


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

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Ask the server directly; it wants to see a name, and believes it."""
        who = f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20260101/us-east-1/s3/aws4_request"
        headers = {"Authorization": who, "Content-Type": "application/octet-stream"}
        address = f"{self.url}/{path}"
        request = urllib.request.Request(address, data=body, method=method, headers=headers)  # noqa: S310 - loopback
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return bytes(answer.read())

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Every object below a prefix of the bucket, by what follows it."""
        listed = ET.fromstring(self.call("GET", f"{BUCKET}?list-type=2&prefix={prefix}/"))
        keys = [element.text or "" for element in listed.iter() if element.tag.endswith("}Key")]
        assert 0 < len(keys) < 1000
        return {key.removeprefix(f"{prefix}/"): self.call("GET", f"{BUCKET}/{key}") for key in keys}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def moto() -> Iterator[Server]:
    """Run moto's server with an empty bucket."""
    server = Server(free_port())
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(server.port)]
    # It writes a line for each request, which a pipe that nobody reads would stop at.
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_for(server, process, log)
            server.call("PUT", BUCKET)
            yield server
        finally:
            process.terminate()


def _wait_for(server: Server, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            pytest.fail(f"moto did not start: {log.read().decode()}")
        time.sleep(0.05)


def in_ci() -> bool:
    return os.environ.get("CI") == "true"
