"""An authority of the tests' own, and certificates that it signed."""

from __future__ import annotations

import subprocess
from pathlib import Path

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """Signs certificates; everything is a file in `directory`."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self.certificate = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        _openssl(
            "req", "-x509", *CURVE, "-days", "2", "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate
        )

    def sign(self, name: str, *, days: int = 2, host: str = "") -> tuple[Path, Path]:
        """Return a certificate for a name, and its key; negative `days` are over."""
        key, request, certificate, extensions = (
            self._directory / f"{self._name}-{name}{end}" for end in (".key", ".csr", ".pem", ".ext")
        )
        _openssl("req", *CURVE, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions.write_text(f"subjectAltName=DNS:{host}\n" if host else "", encoding="ascii")
        signed_by = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-extfile", extensions)
        _openssl("x509", "-req", "-in", request, "-days", str(days), *signed_by, "-out", certificate)
        return certificate, key


def joined(directory: Path, *parts: Path) -> Path:
    """Return a file that holds several."""
    path = directory / f"{'-'.join(part.stem for part in parts)}-joined.pem"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
