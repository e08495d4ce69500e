"""The lock is part of the design: a fresh resolve would build another product."""

from __future__ import annotations

import re

import pytest

from tests.boundary.workspace import ROOT, Workspace

LOCK = (ROOT / "Cargo.lock").read_text(encoding="utf-8")

LICENCES = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
}


def locked_versions(lock: str, name: str) -> list[str]:
    """Versions of a package in a Cargo.lock."""
    return re.findall(rf'^name = "{re.escape(name)}"\nversion = "(.+)"$', lock, re.MULTILINE)


def licence_allowed(expression: str) -> bool:
    """Whether an SPDX expression of the form ``(A OR B) AND C`` leaves us a choice that we may ship."""
    clauses = expression.replace("/", " OR ").split(" AND ")
    return all(any(choice.strip("() ") in LICENCES for choice in clause.split(" OR ")) for clause in clauses)


# Two ndarrays are two incompatible matrix types, two Arrows two table types, two PyO3s do not link.
@pytest.mark.parametrize(
    "name", ["ndarray", "numpy", "pyo3", "arrow-array", "parquet", "linfa", "sha2", "serde_json"]
)
def test_one_version_of(name: str) -> None:
    assert len(locked_versions(LOCK, name)) == 1


def test_two_versions_are_seen() -> None:
    lock = 'name = "ndarray"\nversion = "0.16.1"\n\nname = "ndarray"\nversion = "0.17.2"\n'
    assert locked_versions(lock, "ndarray") == ["0.16.1", "0.17.2"]


def test_ndarray_is_the_one_that_linfa_speaks() -> None:
    assert locked_versions(LOCK, "ndarray") == ["0.16.1"]


def test_canonical_bytes_do_not_depend_on_json_features(workspace: Workspace) -> None:
    (json,) = [package for package in workspace.packages.values() if package.name == "serde_json"]
    # Either would keep keys or digits as written, and with them change every identity.
    assert not json.features & {"preserve_order", "arbitrary_precision", "unbounded_depth"}
    # Without it a float that is written and read again may be another float.
    assert "float_roundtrip" in json.features


def test_schemas_cannot_reach_the_network(workspace: Workspace) -> None:
    (jsonschema,) = [package for package in workspace.packages.values() if package.name == "jsonschema"]
    assert jsonschema.features == frozenset()


@pytest.mark.parametrize(
    "name", ["openssl", "openssl-sys", "native-tls", "aws-lc-sys", "aws-lc-rs", "serde_yaml", "serde_pickle"]
)
def test_not_in_the_lock(name: str) -> None:
    assert locked_versions(LOCK, name) == []


def test_every_licence_may_be_shipped(workspace: Workspace) -> None:
    refused = {
        f"{package.name}: {package.licence or 'none'}"
        for package in workspace.packages.values()
        if not licence_allowed(package.licence)
    }
    assert refused == set()


@pytest.mark.parametrize("expression", ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-2.0 OR AGPL-3.0) AND MIT"])
def test_a_licence_that_we_may_not_ship_is_seen(expression: str) -> None:
    assert not licence_allowed(expression)


@pytest.mark.parametrize("expression", ["MIT/Apache-2.0", "(MIT OR GPL-2.0) AND Unicode-3.0"])
def test_a_choice_that_we_may_ship_is_enough(expression: str) -> None:
    assert licence_allowed(expression)


def test_development_requirements_are_exact_and_name_no_host() -> None:
    lines = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted
    for line in wanted:
        assert re.match(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; .+)?$", line), line
    assert "://" not in "\n".join(lines)
