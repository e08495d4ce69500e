"""The borders of the house: data flows down the layers, and nothing is known upwards."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boundary.workspace import ROOT, Workspace, output

LAYERS = ["contracts", "kernels", "factory", "bindings"]

# What a layer may not link, however deep: the reason it is a layer of its own.
NOT_LINKED = {
    "contracts": {
        "ndarray",
        "linfa",
        "rayon",
        "arrow-array",
        "parquet",
        "rusqlite",
        "rustix",
        "pyo3",
        "numpy",
    },
    "kernels": {"arrow-array", "parquet", "rusqlite", "pyo3", "numpy", "tempfile"},
    "factory": {"pyo3", "numpy", "pyo3-arrow"},
}

# Stages of the factory that may not know of one another: (stage, what it may not name, the law behind it).
BLIND = [
    ("train", {"gate", "bundle", "publish", "registry"}, "training cannot see publishing"),
    ("evaluate", {"gate", "bundle", "publish", "registry"}, "the judged cannot see the judge"),
    ("gate", {"dataset", "train", "publish", "registry"}, "the gate reads a report, never data"),
    ("guard", {"train", "gate", "publish", "registry"}, "guards come before training"),
    (
        "dataset",
        {"train", "gate", "publish", "registry", "ledger"},
        "a dataset does not know who will use it",
    ),
    ("store", {"ledger", "dataset", "train", "gate", "publish", "registry"}, "a capability knows no stage"),
    ("ledger", {"dataset", "train", "gate", "publish", "registry"}, "a capability knows no stage"),
]
# Who may name the line with all its capabilities, and who the conductor that knows all stages.
CONDUCTORS = {
    "line": {"line", "run", "receipts", "work", "jobs", "worker", "open", "fsck", "lib"},
    "run": {"work", "lib"},
}


def own(workspace: Workspace, crate: str) -> set[str]:
    """Which of our other crates a crate links."""
    return workspace.linked(crate) & set(workspace.members)


def test_the_layers_are_the_workspace(workspace: Workspace) -> None:
    assert sorted(workspace.members) == sorted(LAYERS)


@pytest.mark.parametrize("crate", LAYERS)
def test_a_crate_links_only_lower_layers(workspace: Workspace, crate: str) -> None:
    assert own(workspace, crate) <= set(LAYERS[: LAYERS.index(crate)])


@pytest.mark.parametrize("crate", NOT_LINKED)
def test_a_layer_stays_free_of(workspace: Workspace, crate: str) -> None:
    linked = workspace.linked(crate)
    assert linked, "the graph is empty: nothing was checked"
    assert linked & NOT_LINKED[crate] == set()


def test_only_one_crate_hashes(workspace: Workspace) -> None:
    direct = {
        crate
        for crate, package in workspace.members.items()
        if any(workspace.packages[id_].name == "sha2" for id_ in package.dependencies)
    }
    assert direct == {"contracts"}


def names_of(source: str) -> set[str]:
    """Modules of its own crate that a Rust file names, comments and tests apart."""
    code = re.sub(r"//.*", "", source.split("#[cfg(test)]", maxsplit=1)[0])
    names = set(re.findall(r"\bcrate::(\w+)", code))
    for group in re.findall(r"\bcrate::\{([^;]*)\}", code):
        names |= set(re.findall(r"(?:^|,)\s*(\w+)", re.sub(r"\{[^{}]*\}", "", group)))
    return names


def stage_files(stage: str) -> Iterator[Path]:
    """The files of a stage, be it a file or a folder."""
    folder = ROOT / "src" / "factory" / "src"
    yield from folder.glob(f"{stage}.rs")
    yield from folder.glob(f"{stage}/**/*.rs")


@pytest.mark.parametrize(("stage", "hidden", "law"), BLIND)
def test_a_stage_is_blind_to(stage: str, hidden: set[str], law: str) -> None:
    seen = {path.name: names_of(path.read_text(encoding="utf-8")) & hidden for path in stage_files(stage)}
    assert {name: sight for name, sight in seen.items() if sight} == {}, law


@pytest.mark.parametrize("conductor", CONDUCTORS)
def test_only_conductors_know_the_conductor(conductor: str) -> None:
    folder = ROOT / "src" / "factory" / "src"
    knowing = {
        path.relative_to(folder).parts[0].removesuffix(".rs")
        for path in folder.rglob("*.rs")
        if conductor in names_of(path.read_text(encoding="utf-8"))
    }
    assert knowing
    assert knowing <= CONDUCTORS[conductor]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("use crate::publish::Publisher;", {"publish"}),
        ("use crate::{gate::{Pass, Verdict}, store};", {"gate", "store"}),
        ("let x = crate::ledger::open();", {"ledger"}),
        ("// crate::publish is not for us\n#[cfg(test)]\nmod tests { use crate::gate; }", set()),
    ],
)
def test_names_are_found(source: str, names: set[str]) -> None:
    assert names_of(source) == names


# Python: numpy is the only hard dependency, so nothing else is imported at the top of a module.
PACKAGE = ROOT / "python" / "model_factory"
HARD = {"numpy", "model_factory"}


def eager_imports(tree: ast.Module) -> set[str]:
    """Top-level packages imported when the module is, type-checking blocks apart."""
    found = set()
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        match waiting.pop():
            case ast.Import(names=names):
                found |= {alias.name.split(".")[0] for alias in names}
            case ast.ImportFrom(module=module, level=0) if module is not None:
                found.add(module.split(".")[0])
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
                waiting.extend(orelse)
            case ast.If(body=body, orelse=orelse):
                waiting.extend([*body, *orelse])
            case ast.ClassDef(body=body) | ast.With(body=body):
                waiting.extend(body)
            case ast.Try(body=body, orelse=orelse, finalbody=final):
                waiting.extend([*body, *orelse, *final])
    return found


def test_importing_needs_numpy_only() -> None:
    soft = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in PACKAGE.rglob("*.py")
        if "testing" not in path.relative_to(PACKAGE).parts
        for name in eager_imports(ast.parse(path.read_text(encoding="utf-8"))) - HARD
        if name not in sys.stdlib_module_names
    }
    assert soft == set()


def test_importing_loads_no_dataframe_library() -> None:
    program = (
        "import sys, model_factory;"
        "optional = {'pandas', 'polars', 'pyarrow', 'matplotlib', 'sklearn', 'IPython'};"
        "print(*sorted(optional & set(sys.modules)))"
    )
    assert output(sys.executable, "-c", program).strip() == ""


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import pandas.core", {"pandas"}),
        ("try:\n    import polars\nexcept ImportError:\n    pass", {"polars"}),
        ("if TYPE_CHECKING:\n    import pandas", set()),
        ("def load():\n    import pandas", set()),
    ],
)
def test_imports_are_found(source: str, names: set[str]) -> None:
    assert eager_imports(ast.parse(source)) == names


MACHINE_PATH = re.compile(r"/[w]ork/|/[r]oot/|/[h]ome/\w|/[U]sers/\w|\b[A-Z]:\\\\[U]sers")


def test_no_tracked_file_names_a_path_of_a_machine() -> None:
    found = []
    for name in output("git", "ls-files", "-z").split("\0"):
        path = ROOT / name
        if name and path.is_file() and MACHINE_PATH.search(path.read_bytes().decode("utf-8", "replace")):
            found.append(name)
    assert found == []


@pytest.mark.parametrize(
    "text", ["see /" + "work/x", "/" + "home/alice/x", "/" + "Users/alice", "/" + "root/.cargo"]
)
def test_a_path_of_a_machine_is_seen(text: str) -> None:
    assert MACHINE_PATH.search(text)


def test_the_type_marker_is_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()
