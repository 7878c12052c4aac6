"""A certificate authority of our own, and what it signed for a broker and a client; made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def missing() -> str | None:
    """Why none can be made here, or None."""
    return None if shutil.which("openssl") else "openssl is not installed"


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates in ``directory``; ``ca`` is what others must trust."""

    directory: Path
    name: str = "ca"

    @property
    def ca(self) -> Path:
        return self.directory / f"{self.name}.pem"

    def make(self) -> None:
        """Make the authority's own certificate."""
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._request("-nodes", "-keyout", self._key, "-out", self.ca, "-subj", f"/CN={self.name}", *usage)

    def sign(self, name: str, *, password: str | None = None) -> tuple[Path, Path]:
        """Certificate and key (encrypted where a password is given) of someone at 127.0.0.1, both PEM."""
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        locked = ("-nodes",) if password is None else ("-passout", f"pass:{password}")
        names = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:false")
        signed = ("-CA", self.ca, "-CAkey", self._key)
        self._request(*locked, *signed, "-keyout", key, "-out", certificate, "-subj", f"/CN={name}", *names)
        return certificate, key

    @property
    def _key(self) -> Path:
        return self.directory / f"{self.name}.key"

    def _request(self, *words: str | Path) -> None:
        command = ["openssl", "req", "-x509", "-days", "2", *KEY, *map(str, words)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
