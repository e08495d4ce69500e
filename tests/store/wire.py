"""A wire to a server, which can be cut at the worst moment."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.store.servers import Server


@dataclass
class Wire:
    """A wire to a server, which can be cut."""

    server: Server
    cut_before: str | None = None
    """Requests with this in their first line do not reach the server."""
    lose: list[str] = field(default_factory=list)
    """For each text, the answer to the next put with it in its first line is lost once the server gave it."""
    lost: list[str] = field(default_factory=list)
    """First lines of the requests whose answers were lost."""

    def _is_lost(self, line: str) -> bool:
        for text in self.lose:
            if line.startswith("PUT") and text in line:
                self.lose.remove(text)
                self.lost.append(line)
                return True
        return False

    def carry(self, client: socket.socket) -> None:
        """Pass requests and answers on until either side ends, or the wire is cut."""
        with client, socket.create_connection(("127.0.0.1", self.server.port)) as upstream:
            line = ""
            to_server = threading.Event()

            def answers() -> None:
                with contextlib.suppress(OSError):
                    while data := upstream.recv(1 << 16):
                        to_server.wait(30)
                        if self._is_lost(line):
                            break
                        client.sendall(data)
                _close(client)

            back = threading.Thread(target=answers, daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                while data := client.recv(1 << 16):
                    if data.split(b" ", 1)[0] in {b"PUT", b"GET", b"HEAD"}:
                        line = data.split(b"\r\n", 1)[0].decode()
                        if self.cut_before is not None and self.cut_before in line:
                            break
                        to_server.set()
                    upstream.sendall(data)
            _close(client)
            _close(upstream)
            back.join(30)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def wire(to: Server) -> Iterator[tuple[Server, Wire]]:
    """Lay a wire to a server; gives its near end as a server."""
    made = Wire(to)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=made.carry, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield Server(listener.getsockname()[1]), made
        _close(listener)
