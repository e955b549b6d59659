"""Runs what manifests describe as plain processes: with their command, environment, probes and time to end."""

from __future__ import annotations

import base64
import subprocess
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.helm.image import Image
from tests.helm.rendering import Manifest, Rendered, pod_of

HOST = "127.0.0.1"
DEADLINE_SECONDS = 120
POLL_SECONDS = 0.1


class Pod:
    """The first container of a workload's pod."""

    def __init__(self, manifest: Manifest, *, release: Rendered, image: Image, folder: Path) -> None:
        pod = pod_of(manifest)
        self.name = manifest["metadata"]["name"]
        self.grace_seconds: int = pod["spec"].get("terminationGracePeriodSeconds", 30)
        self._container: Manifest = pod["spec"]["containers"][0]
        self._image, self._folder = image, folder
        folder.mkdir()
        self._environment = image.environment | self._variables(release)
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the container."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._in_image([*self._container["command"], *self._container["args"]]),
                cwd=self._image.application,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def run(self) -> str:
        """Run the container to its end, which must be a success, and return what it said."""
        self.start()
        assert self._process is not None
        assert self._process.wait(DEADLINE_SECONDS) == 0, self.said()
        return self.said()

    def execute(self, *arguments: str) -> str:
        """Run a command beside it, as `kubectl exec` does, and return what it printed."""
        done = subprocess.run(
            self._in_image(list(arguments)),
            cwd=self._image.application,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def await_probes(self) -> None:
        """Wait until it has started and is ready, by its own probes."""
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe := self._container.get(kind):
                self.wait_until(partial(self.passes, probe), what=kind)

    def passes(self, probe: Manifest) -> bool:
        """Ask a probe once, with its own time-out."""
        if "exec" in probe:
            command = self._in_image(probe["exec"]["command"])
            return not subprocess.run(
                command,
                cwd=self._image.application,
                env=self._environment,
                timeout=DEADLINE_SECONDS,
                capture_output=True,
                check=False,
            ).returncode
        address = f"http://{HOST}:{self.port(probe['httpGet']['port'])}{probe['httpGet']['path']}"
        try:
            with urllib.request.urlopen(address, timeout=probe["timeoutSeconds"]) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def port(self, name: str) -> int:
        """Return the number of a named port."""
        return next(int(port["containerPort"]) for port in self._container["ports"] if port["name"] == name)

    def metrics(self) -> str:
        """Return what it measures."""
        with urllib.request.urlopen(f"http://{HOST}:{self.port('metrics')}/metrics", timeout=30) as answer:
            text: str = answer.read().decode()
            return text

    def terminate(self) -> int:
        """Ask it to end, as Kubernetes does, and return its exit code; one that takes longer than it may is killed."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(self.grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return 137

    def kill(self) -> None:
        """End it at once; safe to repeat."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def said(self) -> str:
        """Return what it said."""
        return self._log.read_text(encoding="utf-8")

    def wait_until(self, condition: Callable[[], Any], *, what: str) -> None:
        """Wait for a condition; fail with its last words."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert self._process is None or self._process.poll() is None, f"{self.name} ended. {self.said()[-3000:]}"
            assert time.monotonic() < deadline, f"{self.name}: waited in vain for {what}. {self.said()[-3000:]}"
            time.sleep(POLL_SECONDS)

    def _in_image(self, command: list[str]) -> list[str]:
        assert command[0] == "python"
        return [self._image.python, *command[1:]]

    def _variables(self, release: Rendered) -> dict[str, str]:
        """Return the environment, with Secrets looked up and mounted folders in place of the volumes."""
        folders = {mount["mountPath"]: self._mounted(mount["name"]) for mount in self._container["volumeMounts"]}
        found = {}
        for entry in self._container["env"]:
            value = entry["value"] if "value" in entry else secret(release, entry["valueFrom"]["secretKeyRef"])
            found[entry["name"]] = folders.get(value, value)
        for name, value in self._image.environment.items():
            if value in folders:
                found.setdefault(name, folders[value])
        return found

    def _mounted(self, name: str) -> str:
        folder = self._folder / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)


def secret(release: Rendered, reference: Manifest) -> str:
    """Return a value of a Secret that the release makes."""
    found = next(s for s in release.of_kind("Secret") if s["metadata"]["name"] == reference["name"])
    return base64.b64decode(found["data"][reference["key"]]).decode()
