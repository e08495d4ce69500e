"""A PostgreSQL cluster for tests and benchmarks: on loopback, in its own folder, gone with who began it.

Its settings are those of a fresh server: what it acknowledges is flushed. PgBouncer can stand before it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.store.servers import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

# Reads a pipe until the process at its other end is gone, however that ended, and cleans up.
GUARD = 'read -r _; "$1/pg_ctl" -D "$2/data" -m immediate stop; rm -rf "$2"/*; rmdir "$2"'


# Connections that all clients of a pooler share.
SHARED = 3


@dataclass(frozen=True)
class Cluster:
    """A server that is running, whose owner needs no password."""

    port: int
    binaries: Path

    def url(self, database: str) -> str:
        """Where the database is, for the ledger."""
        return f"postgresql://owner@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template0") -> None:
        """Make a database, empty or as another that nobody is connected to."""
        statement = f"CREATE DATABASE {database} TEMPLATE {template}"
        command = [str(self.binaries / "psql"), "-X", "-q", "-d", self.url("postgres"), "-c", statement]
        subprocess.run(command, check=True)


def binaries() -> Path | None:
    """Find the folder of ``initdb``, by ``PATH`` or where Debian keeps it."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


@contextlib.contextmanager
def cluster(programs: Path, below: Path | None = None) -> Iterator[Cluster]:
    """Run a server until left, or until this process is gone; its files stand below the folder, if any."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=below))
    data = str(folder / "data")
    owner = _owner()
    if "user" in owner:
        os.chown(folder, owner["user"], owner["group"])
    guard = ["/bin/sh", "-c", GUARD, "guard", str(programs), str(folder)]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True, **quiet, **owner):
        port = free_port()
        listen = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories='' -p {port}"
        settings = f"{listen} -c max_connections=200"
        make = ["-A", "trust", "-U", "owner", "-E", "UTF8", "-N", "-D", data]
        subprocess.run([str(programs / "initdb"), *make], check=True, **quiet, **owner)
        start = ["-D", data, "-w", "-l", str(folder / "log"), "-o", settings, "start"]
        subprocess.run([str(programs / "pg_ctl"), *start], check=True, **quiet, **owner)
        # Leaving closes the guard's pipe and waits for it.
        yield Cluster(port, programs)


def pooler() -> Path | None:
    """Find PgBouncer, by ``PATH`` or where Debian keeps it."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found else None


@contextlib.contextmanager
def pooled(server: Cluster, program: Path, mode: str) -> Iterator[int]:
    """Run PgBouncer before a server until left, pooling by ``mode``; gives the port that it listens on.

    It has fewer connections to the server than there are clients, and tracks nothing that they prepare.
    """
    owner = _owner()
    with tempfile.TemporaryDirectory(prefix="pooler-") as folder:
        if "user" in owner:
            os.chown(folder, owner["user"], owner["group"])
        port = free_port()
        settings = Path(folder, "settings.ini")
        settings.write_text(
            f"""[databases]
* = host=127.0.0.1 port={server.port} user=owner
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {SHARED if mode == "transaction" else 100}
logfile = {folder}/log
"""
        )
        with (
            tempfile.TemporaryFile() as log,
            subprocess.Popen([str(program), str(settings)], stdout=log, stderr=log, **owner) as running,
        ):
            try:
                wait_for(port, running, log)
                yield port
            finally:
                running.kill()


def _owner() -> dict[str, Any]:
    """Say who the server runs as: it refuses to run as root."""
    common: dict[str, Any] = {"cwd": "/", "env": {**os.environ, "LC_ALL": "C"}}
    if os.getuid() != 0:
        return common
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = next(known[name] for name in ("postgres", "nobody") if name in known)
    return {**common, "user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
