"""``make run``: runs the whole connector on this machine until Ctrl-C.

Settings come from the environment: PORT_BASE, LOCAL_DIR, DEMO=0, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_SQS, TIME_SCALE
and the connector's settings.
"""

import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import boto3
import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.config import Timing
from infra.local import certificates, directory
from infra.local.aws import data_stack
from infra.local.broker.installation import BrokerFailed, ensure_installed
from infra.local.broker.node import Broker, BrokerConfig
from infra.local.demo.api_client import ApiClient
from infra.local.demo.examples import EXAMPLES, write_examples
from infra.local.demo.run import run_demo
from infra.local.directory import STACK_FILE
from infra.local.errors import StackFailed, StopRequested
from infra.local.files import write_atomically
from infra.local.guardian import guard
from infra.local.issuer import Issuer
from infra.local.lambda_service.runner import PIDS_FILE
from infra.local.network_server.double import APPLICATION_SERVERS_VARIABLE
from infra.local.processes import ROOT, Child
from infra.local.stack_config import StackConfig
from infra.local.token import ISSUER_FILE

BROKER_USER = "iotflow"
_START_SECONDS = 60.0
_LOOK = 0.2
_PATIENCE = 8.0
_HTTP_OK = 200


def _say(text: str) -> None:
    print(text, flush=True)


class Stack:
    """The processes of a stack, stopped in the opposite order of their start."""

    def __init__(self, config: StackConfig) -> None:
        self.config = config
        self._environment = config.environment()
        self._children: list[Child] = []
        self._guardian: Child | None = None
        self._network_server: Child | None = None
        self._broker: Broker | None = None
        self._broker_thread: threading.Thread | None = None
        self._broker_fault: BrokerFailed | None = None
        self._document: dict[str, Any] = {}
        self._lock: int | None = None

    def start(self) -> dict[str, Any]:
        """Starts everything, writes stack.json and returns its content. Raises StackFailed or BrokerFailed."""
        config, where = self.config, self.config.directory
        timing = config.settings().timing
        self._lock = directory.take(where)
        cleared = directory.clear(where, where / "broker")
        if cleared:
            _say(f"Removed the previous run's data in {where}.")
        config.ports.check(patience=_PATIENCE if cleared else 0)
        ensure_installed()
        log = where / "logs" / "guardian.log"
        self._guardian = guard(where / "broker", log, self._environment, stack=where)
        files = certificates.issue(where / "certificates", BROKER_USER)
        self._start_broker(files)
        if config.aws_endpoint_url is None:
            self._python("aws", "infra.local.aws.server", "--port", str(config.ports.aws))
        issuer = Issuer(where, config.issuer_url)
        write_atomically(where / ISSUER_FILE, {"issuer": config.issuer_url})
        self._python("issuer", "infra.local.issuer", "--port", str(config.ports.issuer), "--directory", str(where))
        self._wait("the token issuer", lambda: _answers(f"{config.issuer_url}/jwks.json"))
        if config.aws_endpoint_url is None:
            self._wait("the emulation of AWS", lambda: _accepts(config.ports.aws))
        _say(f"Creating tables and queues at {config.aws_url} ...")
        prefix = config.settings().resource_prefix
        self._make_tables_and_queues(prefix, timing)
        server = {"asId": f"TWA_100000042.{config.ports.api}.AS", "asKey": secrets.token_hex(16)}
        self._start_product(server)
        self._wait_for_broker()
        self._document = self._describe(issuer, server, files)
        api = ApiClient(config.api_url, self._document["token"])
        api.call("POST", "/application-servers", server)
        self._refresh()
        write_examples(where / EXAMPLES, self._document)
        write_atomically(where / STACK_FILE, self._document)
        return self._document

    @property
    def holds_directory(self) -> bool:
        return self._lock is not None

    def watch(self) -> None:
        """Keeps stack.json up to date until a signal. Raises StackFailed when a process died.

        The network server's double is started again when it was killed.
        """
        while True:
            time.sleep(_LOOK)
            self._check_children()
            if self._refresh():
                write_atomically(self.config.directory / STACK_FILE, self._document)

    def stop(self) -> None:
        """Stops the processes that this stack started."""
        if not self.holds_directory:
            return
        (self.config.directory / STACK_FILE).unlink(missing_ok=True)
        for child in reversed(self._children):
            child.stop(_PATIENCE)
        if self._broker_thread is not None:
            self._broker_thread.join()
        if self._broker is not None:
            self._broker.stop()
        if self._guardian is not None:
            self._guardian.stop(_PATIENCE)

    def _start_product(self, server: dict[str, str]) -> None:
        config, where = self.config, self.config.directory
        self._network_server = self._python(
            "network-server", "infra.local.network_server.double",
            "--port", str(config.ports.network_server), "--api-url", config.api_url,
            "--journal", str(where / "network-server.jsonl"),
            extra={APPLICATION_SERVERS_VARIABLE: json.dumps({server["asId"]: server["asKey"]})},
        )  # fmt: skip
        self._python("api", "infra.local.api", "--port", str(config.ports.api))
        runner = ("--project", str(ROOT), "--directory", str(where), "--invoke-port", str(config.ports.functions))
        self._python("runner", "infra.local.lambda_service.runner", *runner)
        self._wait("the network server's double", lambda: _answers(f"{config.network_server_url}/downlinks"))
        self._wait("the API", lambda: _answers(f"{config.api_url}/health"))
        self._wait("the functions' processes", lambda: bool(self._worker_pids()))

    def _make_tables_and_queues(self, prefix: str, timing: Timing) -> None:
        # boto3 reads its endpoints from the environment only; SQS may have another one.
        os.environ.update({name: value for name, value in self._environment.items() if name.startswith("AWS_")})
        session = boto3.session.Session()
        try:
            data_stack.create(session.client("dynamodb"), session.client("sqs"), prefix, timing)
        except (ClientError, BotoCoreError) as error:
            raise StackFailed(f"Cannot create tables and queues at {self.config.aws_url}: {error}") from error

    def _start_broker(self, files: certificates.Certificates) -> None:
        """Starts the broker in a thread, because it takes longer than everything else together."""
        ports = self.config.ports
        config = BrokerConfig(
            port=ports.amqp,
            tls_port=ports.amqp_tls,
            management_port=ports.management,
            dist_port=ports.distribution,
            epmd_port=ports.epmd,
            username=BROKER_USER,
            password=secrets.token_urlsafe(16),
            ca_file=str(files.ca_file),
            certificate_file=str(files.server_certificate_file),
            key_file=str(files.server_key_file),
        )
        self._broker = Broker(self.config.directory / "broker", config)
        _say(f"Starting RabbitMQ on {ports.amqp} and {ports.amqp_tls} (TLS) ...")

        def start(broker: Broker) -> None:
            try:
                broker.start()
            except BrokerFailed as error:
                self._broker_fault = error

        self._broker_thread = threading.Thread(target=start, args=(self._broker,))
        self._broker_thread.start()

    def _wait_for_broker(self) -> None:
        thread = self._broker_thread
        while thread is not None and thread.is_alive():
            thread.join(_LOOK)
            self._check_children()
        if self._broker_fault is not None:
            raise self._broker_fault

    def _python(self, name: str, module: str, *arguments: str, extra: dict[str, str] | None = None) -> Child:
        _say(f"Starting {name} ...")
        log = self.config.directory / "logs" / f"{name}.log"
        argv = [sys.executable, "-m", module, *arguments]
        child = Child(name, argv, log, {**self._environment, **(extra or {})})
        self._children.append(child)
        self._record_processes()
        return child

    def _record_processes(self) -> None:
        directory.record_processes(self.config.directory, self._children)

    def _check_children(self) -> None:
        for child in [*filter(None, [self._guardian]), *self._children]:
            code = child.exit_code()
            if child is self._network_server and code == -signal.SIGKILL:
                # The network server is an external system: it may fail and come back.
                _say(f"Starting {child.name} again ...")
                child.start()
                self._record_processes()
            elif code is not None:
                raise StackFailed(f"{child.name} ended unexpectedly ({code}). The end of {child.log}:\n{child.tail()}")

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            self._check_children()
            if time.monotonic() > deadline:
                logs = self.config.directory / "logs"
                raise StackFailed(f"{what} did not answer within {_START_SECONDS:.0f} s; see {logs}")
            time.sleep(_LOOK)

    def _worker_pids(self) -> list[int]:
        path = self.config.directory / PIDS_FILE
        return list(json.loads(path.read_text(encoding="utf-8"))["pids"]) if path.exists() else []

    def _refresh(self) -> bool:
        """Updates the pids in the document. True when one changed. A broker that is down keeps its last pid."""
        before = json.dumps(self._document)
        self._document["workers"] = {"pids": self._worker_pids()}
        if self._network_server is not None:
            self._document["networkServer"]["pid"] = self._network_server.pid
        if self._broker is not None:
            try:
                self._document["amqp"]["pid"] = self._broker.pid
            except BrokerFailed:
                # A user may stop the broker with the commands in stack.json.
                return json.dumps(self._document) != before
        return json.dumps(self._document) != before

    def _describe(self, issuer: Issuer, server: dict[str, str], files: certificates.Certificates) -> dict[str, Any]:
        config, broker = self.config, self._broker
        if broker is None:
            raise StackFailed("The broker was not started.")
        return {
            "apiUrl": config.api_url,
            "token": issuer.token("demo"),
            "otherTenantToken": issuer.token("other"),
            "readOnlyToken": issuer.token("demo", ["connections:read"]),
            "awsEndpointUrl": config.aws_url,
            "sqsEndpointUrl": config.sqs_url,
            "applicationServer": server,
            "amqp": {
                "host": "127.0.0.1",
                "port": config.ports.amqp,
                "tlsPort": config.ports.amqp_tls,
                "username": broker.config.username,
                "password": broker.config.password,
                "virtualHost": "/",
                "managementUrl": f"http://127.0.0.1:{config.ports.management}",
                "caFile": str(files.ca_file),
                "clientCertificateFile": str(files.client_certificate_file),
                "clientKeyFile": str(files.client_key_file),
                "pid": broker.pid,
                "start": _from_anywhere(broker.start_command),
                "stop": _from_anywhere(broker.stop_command),
            },
            "networkServer": {
                "url": config.network_server_url,
                "downlinksUrl": f"{config.network_server_url}/downlinks",
            },
            "workers": {"pids": []},
            "consoleUrl": f"{config.api_url}/console",
        }


def _from_anywhere(argv: list[str]) -> list[str]:
    """The command in a form that works in any current directory."""
    return ["sh", "-c", 'cd "$0" && exec "$@"', str(ROOT), *argv]


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _answers(url: str) -> bool:
    try:
        answer = urllib3.request("GET", url, timeout=5, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == _HTTP_OK


def _show(document: dict[str, Any]) -> None:
    amqp = document["amqp"]
    rows = [
        ("Console", document["consoleUrl"]),
        ("API", document["apiUrl"]),
        ("AMQP", f"{amqp['host']}:{amqp['port']}, TLS {amqp['tlsPort']}"),
        ("RabbitMQ management", f"{amqp['managementUrl']}  ({amqp['username']} / {amqp['password']})"),
        ("Network server", document["networkServer"]["downlinksUrl"]),
        ("AWS emulation", document["awsEndpointUrl"]),
        ("Token (tenant demo)", document["token"]),
    ]
    _say("")
    for name, value in rows:
        _say(f"{name:<22}{value}")


def _stop_requested(_signal: int, _frame: FrameType | None) -> None:
    raise StopRequested


def main() -> int:
    signal.signal(signal.SIGTERM, _stop_requested)
    signal.signal(signal.SIGINT, _stop_requested)
    stack: Stack | None = None
    try:
        stack = Stack(StackConfig.from_environment(os.environ))
        document = stack.start()
        if stack.config.demo:
            run_demo(document)
        _show(document)
        own = stack.config.directory
        _say(f"\nSee {own / STACK_FILE}; example requests: {own / EXAMPLES}. Ctrl-C stops the stack.")
        stack.watch()
    except StopRequested:
        _say("\nStopping ...")
        return 0
    except (StackFailed, BrokerFailed) as error:
        where = f" (logs: {stack.config.directory / 'logs'})" if stack is not None and stack.holds_directory else ""
        print(f"\nThe local stack stops{where}: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        # A second Ctrl-C must not interrupt the shutdown.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if stack is not None:
            stack.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
