"""
The files of the container image in an empty folder, made by the steps of the Dockerfile, without a container engine.

What is copied where (through .dockerignore), what is run, and the environment of the result are read out of the
Dockerfile. The dependencies are those of requirements/base.txt and no others, linked out of the tests' environment.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path

from tests.helm.rendering import ROOT

PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==", re.MULTILINE)
INSTRUCTION = re.compile(r"^(?P<name>[A-Z]+)\s+(?P<rest>.*)$", re.DOTALL)


@dataclass
class Stage:
    """A stage of the Dockerfile."""

    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[str]:
        """Return the rests of the instructions of a kind."""
        return [rest for name, rest in self.instructions if name == kind]


@dataclass(frozen=True)
class Image:
    """The files, as they would stand below / in a container, and its environment."""

    root: Path
    environment: dict[str, str]

    @property
    def application(self) -> Path:
        """The working directory."""
        return self.root / "app"

    @property
    def python(self) -> str:
        """The interpreter."""
        return str(self.root / "opt/venv/bin/python")


def stages() -> dict[str, Stage]:
    """Return the stages of the Dockerfile by name."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: dict[str, Stage] = {}
    stage = Stage("")
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if match := INSTRUCTION.match(line.strip()):
            if match["name"] == "FROM":
                stage = found.setdefault(match["rest"].split(" AS ")[1], Stage(match["rest"]))
            else:
                stage.instructions.append((match["name"], match["rest"]))
    return found


def build(folder: Path) -> Image:
    """Make the files of the image in an empty folder."""
    made = stages()
    image = Image(folder, environment_of(made["runtime"], folder))
    _install_dependencies(folder / "opt/venv")
    image.application.mkdir()
    for rest in made["application"].of_kind("COPY"):
        *sources, target = rest.split()
        for source in sources:
            _copy(source, image.application / target)
    for command in made["application"].of_kind("RUN"):
        environment = {"PATH": f"{folder}/opt/venv/bin{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(["sh", "-euc", command], cwd=image.application, env=environment, check=True, capture_output=True)
    return image


def environment_of(stage: Stage, folder: Path) -> dict[str, str]:
    """Return what ENV sets, with the folder in place of the root for the program path."""
    words = (word.partition("=") for rest in stage.of_kind("ENV") for word in shlex.split(rest))
    found = {name: value for name, _, value in words}
    found["PATH"] = found["PATH"].replace("/opt/venv", f"{folder}/opt/venv").replace("$PATH", os.environ["PATH"])
    return found


def allowed() -> list[str]:
    """Return what .dockerignore lets through."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def locked() -> set[str]:
    """Return the names of the locked dependencies."""
    return set(PINNED.findall((ROOT / "requirements/base.txt").read_text(encoding="utf-8")))


def _copy(source: str, target: Path) -> None:
    assert source in allowed(), f".dockerignore keeps {source} out"
    path = ROOT / source
    if path.is_dir():
        shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        shutil.copy(path, target)


def _install_dependencies(folder: Path) -> None:
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    here = Path(str(importlib.metadata.distribution("django").locate_file("")))
    for name in locked():
        files = importlib.metadata.distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(here / top)
    assert sys.version_info[:2] == (3, 11)
