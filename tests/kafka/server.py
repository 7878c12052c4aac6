"""A single Apache Kafka node (KRaft) as a child process, for tests: start, stop, kill, start again on the same data."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.broker import check_broker
from pipeline.config import Settings
from pipeline.config.tree import KafkaSettings
from pipeline.errors import BrokerUnavailableError
from tests.kafka.certificates import Authority

ROOT = Path(__file__).parents[2]
LIBS = ROOT / ".cache/kafka/libs"

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={directory}/data
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
transaction.max.timeout.ms=900000
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=4194304
"""

# A listener for clients that bring a certificate of ours and a password, beside the plain one.
SECURED = """
listeners=PLAINTEXT://127.0.0.1:{broker},SECURED://127.0.0.1:{secured},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},SECURED://127.0.0.1:{secured},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.secured.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{user}="{password}";
listener.name.secured.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.secured.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
"""


@dataclass(frozen=True, slots=True)
class Secured:
    """Who signs, and the one user."""

    authority: Authority
    user: str
    password: str


def missing() -> str | None:
    """Why Apache Kafka cannot run here, or None."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    return None


def fetch() -> None:
    """Get the jars unless they are there."""
    subprocess.run([str(ROOT / "scripts/fetch-kafka.sh")], check=True, timeout=280)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass(slots=True)
class KafkaServer:
    """One node. It keeps its ports and data over ``stop`` and ``kill``, so that ``start`` is the same broker again."""

    directory: Path
    secured: Secured | None = None
    _ports: list[int] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def secured_bootstrap(self) -> str:
        return f"127.0.0.1:{self._ports[2]}"

    def start(self, timeout_s: float = 60) -> None:
        """Start, format the storage the first time, and wait until it answers."""
        config = self.directory / "server.properties"
        if not config.exists():
            self._ports = free_ports(3)
            config.write_text(self._properties())
            identity = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            users = () if self.secured is None else ("--add-scram", _scram(self.secured))
            # In one word: an identity may begin with a dash, which would be another option.
            words = ("format", f"--cluster-id={identity}", "--standalone", "-c", str(config), *users)
            assert self._java("kafka.tools.StorageTool", *words).wait(60) == 0, self.log()
        self._process = self._java("kafka.Kafka", str(config))
        settings = Settings(kafka=KafkaSettings(bootstrap=self.bootstrap))
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                check_broker(settings, timeout_s=1)
            except BrokerUnavailableError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.kill()
                    raise AssertionError(f"Kafka did not start:\n{self.log()}") from None
                time.sleep(0.1)  # a JVM starting: there is no clock to move here
            else:
                return

    def stop(self) -> None:
        """Shut down in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: a crash."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: connections stay and nothing answers."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def log(self) -> str:
        """The end of what it printed."""
        return (self.directory / "kafka.log").read_text(errors="replace")[-4000:]

    def _properties(self) -> str:
        broker, controller, secured = self._ports
        text = PROPERTIES.format(broker=broker, controller=controller, directory=self.directory)
        if self.secured is None:
            return text
        certificate, key = self.secured.authority.sign("broker")
        keystore = self.directory / "broker.keystore.pem"
        keystore.write_text(key.read_text() + certificate.read_text())
        plain = "".join(line for line in text.splitlines(keepends=True) if "listeners=" not in line)
        return plain + SECURED.format(
            broker=broker, controller=controller, secured=secured, keystore=keystore, ca=self.secured.authority.ca,
            login="org.apache.kafka.common.security", user=self.secured.user, password=self.secured.password,
        )  # fmt: skip

    def _java(self, *words: str) -> subprocess.Popen[bytes]:
        heap = ("-Xmx384m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        with (self.directory / "kafka.log").open("ab") as log:
            return subprocess.Popen(
                ["java", *heap, "-cp", f"{LIBS}/*", *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


def _scram(secured: Secured) -> str:
    return f"SCRAM-SHA-512=[name={secured.user},password={secured.password}]"
