"""How everything is timed: contestants in turn, round by round, in one process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

SLOW = 2.0
"""A peer that took more than this many times the fastest peer's first round cannot win and runs once only."""


class WrongResultError(Exception):
    """What was measured is not what was asked for."""


def check(*, holds: bool, told: str) -> None:
    """Refuse a figure whose result is wrong."""
    if not holds:
        raise WrongResultError(told)


@dataclass(frozen=True)
class Contestant:
    """One way to do the work."""

    name: str
    run: Callable[[], Any]
    times: int = 1
    """Calls that one timing spans; the figure is of one call."""
    share: float = 1.0
    """Part of the work that one call does; the figure is scaled up to the whole."""


@dataclass
class Timing:
    """Seconds of each round, and how good the result was where that can be said."""

    name: str
    seconds: list[float] = field(default_factory=list)
    quality: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass
class Outcome:
    """What one benchmark came to at one number of threads."""

    ours: Timing
    peers: list[Timing]
    note: str = ""
    part: str = ""
    """Which part of the benchmark it is, where that has several."""

    @property
    def fastest(self) -> Timing:
        """The peer with the least median, of those that ran in every round."""
        rounds = max(len(peer.seconds) for peer in self.peers)
        return min((peer for peer in self.peers if len(peer.seconds) == rounds), key=lambda peer: peer.median)

    def ratio(self, peer: Timing) -> tuple[float, float, float]:
        """Ratio of medians over the rounds that the peer ran in, and the extremes within a round."""
        ours = self.ours.seconds[: len(peer.seconds)]
        within = [mine / theirs for mine, theirs in zip(ours, peer.seconds, strict=True)]
        return statistics.median(ours) / peer.median, min(within), max(within)


def race(
    contestants: Sequence[Contestant], rounds: int, *, warm: bool = False, slow: float = SLOW
) -> tuple[Outcome, dict[str, Any]]:
    """Time the contestants, ours first, and give each one's last result by name.

    Every other round goes backwards, so that nobody always follows the same one. ``warm`` runs each once
    untimed: for calls so short that the first one's set-up would show.
    """
    timings = {each.name: Timing(each.name) for each in contestants}
    results: dict[str, Any] = {}
    running = list(contestants)
    for each in contestants if warm else ():
        each.run()
    # What is there already is no garbage: looking through it before each timing would take longer than many.
    gc.collect()
    gc.freeze()
    for number in range(rounds):
        for each in running if number % 2 == 0 else reversed(running):
            results.pop(each.name, None)
            gc.collect()
            start = time.perf_counter()
            for _ in range(each.times - 1):
                each.run()
            result = each.run()
            taken = time.perf_counter() - start
            results[each.name] = result
            timings[each.name].seconds.append(taken / each.times / each.share)
        if number == 0:
            fastest = min(timings[each.name].seconds[0] for each in contestants[1:])
            running = [
                each
                for place, each in enumerate(contestants)
                if place == 0 or timings[each.name].seconds[0] <= slow * fastest
            ]
    gc.unfreeze()
    ours, *peers = timings.values()
    return Outcome(ours, peers), results
