"""What cargo says about the workspace: its packages, their dependencies and the features they got."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

NORMAL = None  # cargo's name for the kind of a dependency that is neither of tests nor of a build script


def output(*command: str) -> str:
    """Runs a command in the project's root and gives what it printed."""
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


@dataclass(frozen=True)
class Package:
    """One resolved package."""

    name: str
    version: str
    licence: str
    features: frozenset[str]
    dependencies: frozenset[str]
    """Ids of the packages that it links, tests and build scripts apart."""


class Workspace:
    """The dependency graph that is built here, from the locked resolve."""

    def __init__(self) -> None:
        host = re.search(r"^host: (.+)$", output("rustc", "-vV"), re.MULTILINE)
        assert host is not None
        answer = output("cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={host[1]}")
        self._metadata: dict[str, Any] = json.loads(answer)

    @cached_property
    def packages(self) -> dict[str, Package]:
        """Every package that takes part, by cargo's id."""
        described = {package["id"]: package for package in self._metadata["packages"]}
        return {
            node["id"]: Package(
                name=described[node["id"]]["name"],
                version=described[node["id"]]["version"],
                licence=described[node["id"]]["license"] or "",
                features=frozenset(node["features"]),
                dependencies=frozenset(
                    edge["pkg"]
                    for edge in node["deps"]
                    if any(kind["kind"] is NORMAL for kind in edge["dep_kinds"])
                ),
            )
            for node in self._metadata["resolve"]["nodes"]
        }

    @cached_property
    def members(self) -> dict[str, Package]:
        """The project's own crates by name."""
        own = (self.packages[id_] for id_ in self._metadata["workspace_members"])
        return {package.name: package for package in own}

    def linked(self, crate: str) -> set[str]:
        """Names of all that one of our crates links, however deep."""
        seen: set[str] = set()
        waiting = list(self.members[crate].dependencies)
        while waiting:
            id_ = waiting.pop()
            if id_ not in seen:
                seen.add(id_)
                waiting.extend(self.packages[id_].dependencies)
        return {self.packages[id_].name for id_ in seen}
