"""Time and peak memory at an eighth to eight times the payments: fit, window features, dataset build.

    python -m benches.scaling

Writes ``docs/scaling.json`` and ``docs/scaling.svg``. Each figure is of three processes of its own: their
median time, and the memory of the one that takes most, whose peak resident memory is the kernel's ``VmHWM``.
Every page of the native library is mapped before the work, so that none counts as the work's because it is
run for the first time.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

import model_factory as mf
from benches import boosting, data, published, windows
from benches.run import machine, versions

SIZES = (0.125, 0.25, 0.5, 1.0, 8.0)
TASKS = ("boosting fit", "window features", "dataset build")
THREADS = 2
PROCESSES = 3
FEATURES = [mf.column(published.AMOUNT), *windows.features()]
DOCS = data.ROOT / "docs"
JITTER_SECONDS = 3_600
MADV_POPULATE_READ = 22
"""Linux's advice to map pages that will be read; an older kernel than 5.14 refuses it."""


@dataclass(frozen=True)
class Figure:
    """What one piece of work took."""

    task: str
    size: float
    rows: int
    seconds: float
    peak_bytes: int
    before_bytes: int
    """Peak memory before the work: interpreter, libraries as a whole, and input."""
    bound_bytes: int | None = None
    """What a build should take beyond that: its features in bins of a byte, half as much again, and one row
    group of the input."""
    columns_bytes: int | None = None
    """The columns of the dataset as a reader holds them, of which the bound is a small part."""


def repeated(size: float) -> pa.Table:
    """Give so many times the payments: some of the customers, or copies with other ids, moved in time."""
    payments = data.transactions()
    if size < 1.0:
        customers = payments["CUSTOMER_ID"].to_numpy()
        return payments.filter(pa.array(customers % 8 < 8 * size))
    ids = {name: payments[name].to_numpy() for name in ("TRANSACTION_ID", "CUSTOMER_ID", "TERMINAL_ID")}
    random = np.random.default_rng(0)
    copies = []
    for copy in range(int(size)):
        jitter = random.integers(0, JITTER_SECONDS, payments.num_rows).astype("timedelta64[s]") * (copy > 0)
        made = {name: values + copy * (int(values.max()) + 1) for name, values in ids.items()}
        made["TX_DATETIME"] = payments["TX_DATETIME"].to_numpy() + jitter
        noise = random.normal(1.0, 0.01 if copy else 0.0, payments.num_rows)
        made[published.AMOUNT] = payments[published.AMOUNT].to_numpy() * noise
        made["TX_FRAUD"] = payments["TX_FRAUD"].to_numpy()
        copies.append(pa.table(made))
    return pa.concat_tables(copies)


def _matrix(size: float, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the features of so many times the payments, copies moved by a hundredth of a deviation."""
    whole = data.split((0, 1_000))
    if size < 1.0:
        drawn = np.random.default_rng(0).permutation(len(whole.positive))[:rows]
        return whole.features[drawn], whole.positive[drawn]
    random = np.random.default_rng(0)
    features = np.tile(whole.features, (int(size), 1))
    own = len(whole.features)
    for column in range(features.shape[1]):
        features[own:, column] += random.normal(
            0.0, 0.01 * whole.features[:, column].std(), len(features) - own
        )
    return features, np.tile(whole.positive, int(size))


def prepare(size: float, folder: Path) -> int:
    """Write the inputs of one size; give the number of rows."""
    payments = repeated(size)
    parquet.write_table(payments, folder / "events.parquet")
    parquet.write_table(windows.labels(payments), folder / "labels.parquet")
    features, positive = _matrix(size, payments.num_rows)
    np.save(folder / "features.npy", features)
    np.save(folder / "positive.npy", positive)
    return int(payments.num_rows)


def peak() -> int:
    """Peak resident memory of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(kilobytes) * 1024


def map_library() -> None:
    """Map every page of the native library."""
    libc = ctypes.CDLL(None, use_errno=True)
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions = line.split()[:2]
        if "/_native." in line and "w" not in permissions:
            start, end = (int(address, 16) for address in span.split("-"))
            if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_POPULATE_READ):
                raise OSError(ctypes.get_errno(), "the native library was not mapped")


def task(name: str, folder: Path) -> dict[str, float]:
    """Do one piece of work in this process; memory is also given as it was before."""
    map_library()
    if name == "boosting fit":
        rows = np.load(folder / "features.npy"), np.load(folder / "positive.npy")
        before, start = peak(), time.perf_counter()
        boosting.FAMILIES["model_factory"][0](*rows, THREADS)
    elif name == "window features":
        payments, known = (
            parquet.read_table(folder / "events.parquet"),
            parquet.read_table(folder / "labels.parquet"),
        )
        before, start = peak(), time.perf_counter()
        windows.compute_ours(payments, known, THREADS)
    else:
        factory = mf.open(folder / "factory", threads=THREADS, progress=False)
        before, start = peak(), time.perf_counter()
        windows.build(factory, folder / "events.parquet", folder / "labels.parquet", FEATURES)
    return {"seconds": time.perf_counter() - start, "peak_bytes": peak(), "before_bytes": before}


def bounds(rows: int, folder: Path) -> dict[str, int]:
    """Give the memory that a build is held against, in bytes."""
    metadata = parquet.read_metadata(folder / "events.parquet")
    row_group = max(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    # Id, two entities, two times, features, and the label with its outcome and its time.
    columns = rows * (8 * (5 + len(FEATURES)) + 1 + 1 + 8)
    return {"bound_bytes": rows * len(FEATURES) * 3 // 2 + row_group, "columns_bytes": columns}


def repeat(name: str, folder: Path) -> dict[str, Any]:
    """Do one piece of work in several processes, one after the other."""
    command = [sys.executable, "-m", "benches.scaling", name, str(folder)]
    found = []
    for _ in range(PROCESSES):
        done = subprocess.run(command, cwd=data.ROOT, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout))
        shutil.rmtree(folder / "factory", ignore_errors=True)
    most = max(found, key=lambda each: each["peak_bytes"] - each["before_bytes"])
    return {**most, "seconds": float(np.median([each["seconds"] for each in found]))}


def measure() -> list[Figure]:
    """Do each piece of work at each size."""
    figures = []
    for size in SIZES:
        with tempfile.TemporaryDirectory(dir=data.OUTPUT) as folder:
            rows = prepare(size, Path(folder))
            for name in TASKS:
                held = bounds(rows, Path(folder)) if name == "dataset build" else {}
                each = Figure(name, size, rows, **repeat(name, Path(folder)), **held)
                figures.append(each)
                print(
                    f"{name:16} {rows:11,} rows {each.seconds:8.2f} s {each.peak_bytes / 1e9:6.2f} GB",
                    flush=True,
                )
    return figures


def plot(figures: list[Figure]) -> None:
    """Draw time and memory by rows, all axes logarithmic."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Drawing

    mpl.rcParams["svg.hashsalt"] = "model_factory"
    drawing = Drawing(figsize=(9, 4), layout="constrained")
    seconds, memory = drawing.subplots(1, 2)
    rows = np.array(sorted({each.rows for each in figures}))
    for name in TASKS:
        of_task = [each for each in figures if each.task == name]
        taken = [each.seconds for each in of_task]
        seconds.loglog(rows, taken, marker="o", label=name)
        memory.loglog(rows, [each.peak_bytes / 1e9 for each in of_task], marker="o", label=name)
        steepest = taken[0] * rows * np.log(rows) / (rows[0] * np.log(rows[0]))
        seconds.loglog(rows, steepest, color="grey", linestyle=":", linewidth=1)
    for line, told in (("bound_bytes", "bound of the build"), ("columns_bytes", "columns of the dataset")):
        of_build = [each for each in figures if each.bound_bytes is not None]
        held = [(each.before_bytes + getattr(each, line)) / 1e9 for each in of_build]
        memory.loglog(rows, held, linestyle="--", linewidth=1, label=told)
    seconds.set_title("dotted: n log n from the first point", fontsize="small")
    for axes, label in ((seconds, "seconds"), (memory, "peak memory, GB")):
        axes.set_xlabel("rows")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3, which="both")
    memory.set_title("dashed: beyond what the interpreter and libraries take", fontsize="small")
    seconds.legend()
    memory.legend()
    drawing.savefig(DOCS / "scaling.svg", metadata={"Date": None})


def main() -> None:
    """Measure, write and draw."""
    data.OUTPUT.mkdir(parents=True, exist_ok=True)
    figures = measure()
    told: dict[str, Any] = {
        "machine": machine(),
        "data": data.told(),
        "threads": THREADS,
        "versions": versions(),
    }
    told["figures"] = [asdict(each) for each in figures]
    (DOCS / "scaling.json").write_text(json.dumps(told, indent=2) + "\n")
    plot(figures)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(task(sys.argv[1], Path(sys.argv[2]))))
    else:
        main()
