"""A PostgreSQL server for one benchmark: on loopback, on the disk, flushing as it does by default."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def binaries() -> Path | None:
    """Give the folder of ``initdb``, by ``PATH`` or where Debian keeps it; None where there is none."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def _owner() -> dict[str, Any]:
    """Say whom the server runs as; it refuses to run as root."""
    if os.getuid() != 0:
        return {}
    names = {each.pw_name: each for each in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def server(folder: Path) -> Iterator[str | None]:
    """Start a server with its files below a folder; give its URL, None where there is no PostgreSQL."""
    programs = binaries()
    if programs is None:
        yield None
        return
    owner = _owner()
    home = Path(tempfile.mkdtemp(prefix="postgres-", dir=folder))
    if owner:
        folder.chmod(0o755)
        os.chown(home, owner["user"], owner["group"])

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(home / "data"), *arguments]
        environment = {**os.environ, "LC_ALL": "C"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=home, env=environment, **owner)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
    run("initdb", "-A", "trust", "-U", "owner", "-E", "UTF8")
    run("pg_ctl", "-w", "-l", str(home / "log"), "-o", settings, "start")
    try:
        yield f"postgresql://owner@127.0.0.1:{port}"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
