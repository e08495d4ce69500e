"""Servers that are away, slow, or cut mid-answer while workers carry out runs: all is published, once."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING

from tests.faults.judging import are_over, claims, judge
from tests.faults.places import LEASE_SECONDS, LENGTHY, Servers, Worker, dataset, submit
from tests.faults.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    import model_factory as mf

RUNS = 40
SPELLS = 40
WEATHERS = ("fair", "away", "slow", "cut")
# Rests after a failed publication are 10 s, then 60 s; then the suite asks for it by name.
PATIENCE = 90.0


class Proxy:
    """A port before a server's own, with a weather that can be changed at any time."""

    def __init__(self, port: int) -> None:
        self.weather = "fair"
        self.harmed = 0
        self._server = port
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def change(self, weather: str) -> None:
        """Let another weather set in; connections do not outlive the moment at which the server goes away."""
        self.weather = weather
        if weather == "away":
            for end in list(self._ends):
                self.harmed += 1
                reset(end)

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.weather == "away":
                    self.harmed += 1
                    reset(client)
                    client.close()
                else:
                    threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        """Pass bytes on both ways until either side ends."""
        with client, socket.create_connection(("127.0.0.1", self._server)) as server:
            self._ends.add(client)
            back = threading.Thread(target=self._answer, args=(server, client), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                while data := client.recv(1 << 16):
                    server.sendall(data)
            shut(server)
            back.join(30)
            self._ends.discard(client)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        """Pass answers on, as the weather lets them through."""
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if self.weather == "slow":
                    time.sleep(0.1)
                if self.weather == "cut":
                    # The server did what it was asked, and who asked hears a half of it.
                    self.harmed += 1
                    client.sendall(data[: len(data) // 2])
                    break
                client.sendall(data)
        shut(client)


def shut(end: socket.socket) -> None:
    """End a connection as a program does."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def reset(end: socket.socket) -> None:
    """End a connection as a machine that is gone does."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """Stand before a server."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


def run(backend: Servers, runs: int = RUNS, spells: int = SPELLS) -> list[Tally]:
    """Change the weather while workers work, and let them finish once it is fair for good."""
    tally = Tally("spells in which store or database was away, slow or cut")
    place = backend.place()
    factory = place.open()
    data = dataset(factory)
    ids = {submit(factory, data, seed, LENGTHY) for seed in range(1, runs + 1)}
    with proxied(backend.s3.port) as store, proxied(backend.postgres.port) as database:
        through = backend.through(place, database.port)
        address = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.port}"}
        workers = [Worker(through, **address) for _ in range(3)]
        try:
            # At work when a server goes away; who begins meanwhile waits, which is a test of its own.
            for worker in workers:
                tally.expect(worker.heard.wait(60), "a worker did not begin")
            weather(tally, spells, (store, database))
            finish(factory, len(ids))
            for worker in workers:
                ended = worker.process.poll()
                tally.expect(ended is None, f"a worker ended with {ended}: {worker.told[-1:]}")
                tally.expect(worker.stop() == 0, "a worker that was asked to stop failed")
        finally:
            for worker in workers:
                worker.kill()
        harmed = f"{store.harmed} connections to the store and {database.harmed} to the database were harmed"
    tally.lost += judge(factory, ids)
    for each in factory.runs(limit=runs):
        tally.expect(not trained_again(each), f"{each.id} was trained again after it was judged")
    again = sum(claims(each) > 1 for each in factory.runs(limit=runs))
    sys.stdout.write(f"{harmed}; {again} runs were taken up again\n")
    return [tally]


def weather(tally: Tally, spells: int, proxies: tuple[Proxy, Proxy]) -> None:
    """Give each server its own spells, by a seed."""
    dice = random.Random(1)
    for _ in range(spells):
        for proxy in proxies:
            proxy.change(dice.choice(WEATHERS))
            tally.tried += proxy.weather != "fair"
        time.sleep(dice.uniform(0.2, 1.5))
    for proxy in proxies:
        proxy.change("fair")


def finish(factory: mf.Factory, runs: int) -> None:
    """Wait until all is published; whose retries rest for long, or are used up, is asked for by name."""
    give_up = time.monotonic() + LEASE_SECONDS + PATIENCE
    while not are_over(factory, runs) and time.monotonic() < give_up:
        time.sleep(0.5)
    for each in factory.runs(state="PUBLISH_PENDING", limit=runs):
        factory.publish_retry(each.id)


def trained_again(run: mf.Run) -> bool:
    """Whether anybody took the whole run up although its verdict was in the ledger."""
    events = run.events
    judged = next((number for number, event in enumerate(events) if event["state"] == "PASS"), len(events))
    return any(event["kind"] == "CLAIMED" and event["mode"] == "FULL" for event in events[judged:])
