"""A Postgres server of one's own as a child process: in a directory of its own, on a free port, not as root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

USER = "stillwatch"
# As Debian installs it, where nothing of it is on the path.
_DEBIAN = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The directory of ``initdb`` and ``postgres``; None: it is not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    return max((path.parent for path in _DEBIAN.glob("*/bin/initdb")), default=None)


class PostgresServer:
    """A server; whoever made it ends it. ``durable``: it waits for the disk, as it does where people run it."""

    def __init__(self, *, durable: bool = False) -> None:
        binaries = programs()
        assert binaries is not None, "programs() tells before"
        self._binaries = binaries
        # Postgres refuses to run as root; and its directory must be one that the other user may enter.
        self._user = "nobody" if os.geteuid() == 0 else None
        self.directory = Path(tempfile.mkdtemp(prefix="stillwatch-postgres-"))
        if self._user is not None:
            os.chown(self.directory, pwd.getpwnam(self._user).pw_uid, -1)
        self._options = [] if durable else ["-c", "fsync=off"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--auth=trust", f"--username={USER}", "--no-sync", "-D", str(self.directory / "data"))

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [
            str(self._binaries / "postgres"), "-D", str(self.directory / "data"), "-p", str(self.port),
            "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", *self._options,
        ]  # fmt: skip
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, user=self._user, cwd="/", stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.connection("postgres")).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it at once, as a crash would: what was committed is there when it starts again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """Stop it and take its directory away."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def connection(self, database: str) -> str:
        """What libpq needs to reach a database of it."""
        return f"host=127.0.0.1 port={self.port} user={USER} dbname={database}"

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement; its rows, if it gives any."""
        with psycopg.connect(self.connection(database), autocommit=True) as session:
            done = session.execute(sql)
            return list(done.fetchall()) if done.description else []

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / program), *arguments], user=self._user, cwd="/", check=True, capture_output=True
        )
