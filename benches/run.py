"""Runs benchmarks, each in a process of its own with the number of threads that it may use.

    python -m benches.run              all of them but the longest
    python -m benches.run NAME ...     these

Prints a table and writes ``target/bench/results.json`` and ``results.md``. The exit status is 1 where a
benchmark failed, which it does as well where what it measured is wrong.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from benches.protocol import Outcome, Timing, WrongResultError

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "target" / "bench"


@dataclass(frozen=True)
class Benchmark:
    """Where a benchmark stands, and at how many threads it is run."""

    module: str
    function: str
    threads: tuple[int, ...] = (1, 2)
    processes: bool = False
    """The numbers are of processes, of which there can be more than cores."""
    named: bool = False
    """Whether it takes so long that it runs only where it is named."""


BENCHMARKS = {
    "boosting_fit": Benchmark("boosting", "fit"),
    "boosting_predict": Benchmark("boosting", "predict"),
    "boosting_predict_one": Benchmark("boosting", "predict_one", (1,)),
    "logistic_fit": Benchmark("learners", "logistic"),
    "forest_fit": Benchmark("learners", "forest"),
    "windows": Benchmark("windows", "windows"),
    "asof_join": Benchmark("asof", "asof_join"),
    "metrics": Benchmark("scores", "together", (1,)),
    "bootstrap": Benchmark("scores", "bootstrap"),
    "corridor": Benchmark("line", "corridor", (1,)),
    "import": Benchmark("line", "importing", (1,)),
    "hash": Benchmark("line", "hashing"),
    "ledger": Benchmark("ledger", "ledger", (1, 8), processes=True),
    "listing": Benchmark("ledger", "listing", (1,)),
    "growth": Benchmark("ledger", "growth", (1,), named=True),
}
PACKAGES = (
    "model-factory", "lightgbm", "xgboost-cpu", "catboost", "hessboost", "perpetual", "scikit-learn", "numpy",
    "scipy", "polars", "duckdb", "pandas", "pyarrow", "mlflow",
)  # fmt: skip
LIMITS = ("OMP", "OPENBLAS", "MKL", "RAYON", "NUMEXPR", "LOKY", "VECLIB")
HEADER = ("name", "threads", "ours", "peer", "peer's", "ratio", "spread", "quality", "peer's quality")


@dataclass(frozen=True)
class Result:
    """One benchmark at one number of threads."""

    name: str
    threads: int
    outcome: Outcome

    @property
    def told(self) -> str:
        return f"{self.name} {self.outcome.part}".rstrip()

    def record(self) -> dict[str, object]:
        """Give it as the JSON holds it: beside the fastest peer."""
        ours, peer = self.outcome.ours, self.outcome.fastest
        return {
            "name": self.name,
            **({"part": self.outcome.part} if self.outcome.part else {}),
            "threads": self.threads,
            "ours_s": ours.median,
            "peer": peer.name,
            "peer_s": peer.median,
            "ratio": self.outcome.ratio(peer)[0],
            "quality": ours.quality,
            "peer_quality": peer.quality,
        }

    def cells(self) -> list[tuple[str, ...]]:
        """Give a row of the table for each peer, the fastest first."""
        rows: list[tuple[str, ...]] = []
        fastest = self.outcome.fastest
        for peer in sorted(self.outcome.peers, key=lambda peer: (peer is not fastest, peer.median)):
            ratio, least, most = self.outcome.ratio(peer)
            rows.append(
                (
                    self.told,
                    str(self.threads),
                    _seconds(self.outcome.ours.median),
                    peer.name,
                    _seconds(peer.median),
                    f"{ratio:.3g}",
                    f"{least:.3g} to {most:.3g}",
                    _quality(self.outcome.ours),
                    _quality(peer),
                )
            )
        return rows


def _seconds(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _quality(timing: Timing) -> str:
    return "" if timing.quality is None else f"{timing.quality:.4g}"


def measure(name: str, threads: int) -> list[Outcome]:
    """Run a benchmark here and now."""
    benchmark = BENCHMARKS[name]
    function = getattr(importlib.import_module(f"benches.{benchmark.module}"), benchmark.function)
    outcome: Outcome | list[Outcome] = function(threads)
    return outcome if isinstance(outcome, list) else [outcome]


def measured_apart(name: str, threads: int) -> list[Outcome] | None:
    """Run a benchmark in a process whose libraries know no more threads than these; None where it fails."""
    limits = {f"{prefix}_NUM_THREADS": str(threads) for prefix in LIMITS if prefix != "LOKY"}
    limits |= {"POLARS_MAX_THREADS": str(threads), "LOKY_MAX_CPU_COUNT": str(threads)}
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        command = [sys.executable, "-m", "benches.run", "--here", name, str(threads), answer.name]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **limits}, stdout=sys.stderr, check=False)
        if done.returncode:
            return None
        told = json.loads(Path(answer.name).read_bytes())
    return [
        Outcome(
            **{**each, "ours": Timing(**each["ours"]), "peers": [Timing(**peer) for peer in each["peers"]]}
        )
        for each in told
    ]


def machine() -> str:
    """Say what the figures come from."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else [])
        if "model name" in line
    ]
    model = models[0].partition(":")[2].strip() if models else platform.processor()
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{model or platform.machine()}, {os.cpu_count()} cores, {system}"


def versions() -> str:
    """Say which releases were measured."""
    installed = {each.name.lower(): each.version for each in metadata.distributions()}
    found = [f"{package} {installed[package]}" for package in PACKAGES if package in installed]
    return ", ".join(found)


def grid(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Give a Markdown table."""
    return ["| " + " | ".join(row) + " |" for row in (header, ("---",) * len(header), *rows)]


def markdown(results: list[Result], payments: str) -> str:
    """Give the results, beside the fastest peer and beside all, with what is needed to judge them."""
    lines = [
        *grid(HEADER, [result.cells()[0] for result in results]),
        "",
        "`ratio`: our median by the peer's over the peer's rounds; `spread`: least and greatest of a round.",
        "",
        *(f"- `{result.told}`, threads {result.threads}: {result.outcome.note}" for result in results),
        "",
        f"Machine: {machine()}. Data: {payments}.",
        "",
        f"Versions: {versions()}.",
        "",
        "## Every peer",
        "",
        *grid(HEADER, [row for result in results for row in result.cells()]),
    ]
    return "\n".join(lines) + "\n"


def table(rows: list[tuple[str, ...]]) -> str:
    """Line the columns up."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def write(results: list[Result], payments: str) -> None:
    """Write what there is so far."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "results.json").write_text(json.dumps([result.record() for result in results], indent=2) + "\n")
    (OUTPUT / "results.md").write_text(markdown(results, payments))


def main(names: list[str]) -> int:
    """Run these benchmarks, or all."""
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    from benches import data

    payments = data.told()
    results: list[Result] = []
    failed = []
    write(results, payments)  # what an earlier run left is none of this one's
    for name in names or [name for name, each in BENCHMARKS.items() if not each.named]:
        for threads in BENCHMARKS[name].threads:
            if threads > (os.cpu_count() or 1) and not BENCHMARKS[name].processes:
                print(f"{name} on {threads} threads: left out, too few cores", file=sys.stderr)
                continue
            outcomes = measured_apart(name, threads)
            if outcomes is None:
                failed.append(f"{name} on {threads} threads")
                continue
            measured = [Result(name, threads, outcome) for outcome in outcomes]
            results += measured
            print(table([row for each in measured for row in each.cells()]), file=sys.stderr, flush=True)
            write(results, payments)
    print(table([HEADER, *(row for result in results for row in result.cells())]))
    for each in failed:
        print(f"FAILED: {each}")
    print(f"{(OUTPUT / 'results.json').relative_to(ROOT)}, {(OUTPUT / 'results.md').relative_to(ROOT)}")
    return int(bool(failed))


def here(name: str, threads: int, answer: Path) -> int:
    """Run one benchmark in this process and write its outcome down."""
    try:
        outcomes = measure(name, threads)
    except WrongResultError as error:
        print(f"{name}: wrong result: {error}", file=sys.stderr)
        return 1
    answer.write_text(json.dumps([asdict(outcome) for outcome in outcomes]))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        sys.exit(here(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
    sys.exit(main(sys.argv[1:]))
