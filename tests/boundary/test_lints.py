"""clippy.toml does refuse what it lists: a path that clippy cannot resolve would guard nothing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.boundary.workspace import ROOT

REFUSED = {
    "std::collections::HashMap": "let _: Option<std::collections::HashMap<u8, u8>> = None;",
    "std::collections::HashSet": "let _: Option<std::collections::HashSet<u8>> = None;",
    "std::time::SystemTime::now": "let _ = std::time::SystemTime::now();",
    "std::time::Instant::now": "let _ = std::time::Instant::now();",
    "std::thread::sleep": "std::thread::sleep(std::time::Duration::ZERO);",
    "std::fs::rename": 'let _ = std::fs::rename("a", "b");',
    "std::fs::write": 'let _ = std::fs::write("a", "b");',
    "std::fs::File::open": 'let _ = std::fs::File::open("a");',
    "std::fs::OpenOptions::new": "let _ = std::fs::OpenOptions::new();",
    "std::path::Path::exists": 'let _ = std::path::Path::new("a").exists();',
    "f64::exp": "let _ = 1.0_f64.exp();",
    "f64::ln": "let _ = 1.0_f64.ln();",
    "f64::powf": "let _ = 1.0_f64.powf(0.5);",
    "f64::powi": "let _ = 1.0_f64.powi(3);",
    "f64::sin": "let _ = 1.0_f64.sin();",
    "f64::mul_add": "let _ = 1.0_f64.mul_add(2.0, 3.0);",
    "f32::exp": "let _ = 1.0_f32.exp();",
}

MANIFEST = '[package]\nname = "probe"\nedition = "2024"\n[workspace]\n'


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What clippy says, under our configuration, of a crate that does everything refused."""
    crate: Path = tmp_path_factory.mktemp("probe")
    (crate / "src").mkdir()
    (crate / "Cargo.toml").write_text(MANIFEST, encoding="utf-8")
    body = "\n".join(["fn main() {", *REFUSED.values(), "let _ = 2.0_f64.sqrt();", "}"])
    (crate / "src" / "main.rs").write_text(body, encoding="utf-8")
    environment = {**os.environ, "CLIPPY_CONF_DIR": str(ROOT), "CARGO_TARGET_DIR": str(crate / "target")}
    command = ["cargo", "clippy", "--offline", "--quiet", "--message-format=json"]
    answer = subprocess.run(
        command, cwd=crate, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    reports = [json.loads(line) for line in answer.stdout.splitlines()]
    return "\n".join(
        report["message"]["message"] for report in reports if report["reason"] == "compiler-message"
    )


@pytest.mark.parametrize("path", REFUSED)
def test_is_refused(messages: str, path: str) -> None:
    assert f"disallowed method `{path}`" in messages or f"disallowed type `{path}`" in messages


def test_what_ieee_754_fixes_is_allowed(messages: str) -> None:
    assert "sqrt" not in messages
