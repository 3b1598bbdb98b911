"""RabbitMQ nodes for the tests of one process. Each pytest worker starts separate nodes."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.broker.installation import ensure_installed
from infra.local.broker.node import Broker, BrokerConfig
from infra.local.certificates import issue
from infra.local.tcp_ports import free_ports
from tests.broker.support import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A node with plain and mutual-TLS listeners. Tests must not freeze or kill it."""
    yield from _site(tmp_path_factory.mktemp("rabbitmq"))


@pytest.fixture(scope="session")
def other_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A second node, for tests with two brokers and for tests that freeze or kill a broker."""
    yield from _site(tmp_path_factory.mktemp("rabbitmq-other"))


def _site(directory: Path) -> Iterator[Site]:
    ensure_installed()
    certificates = issue(directory / "tls", "tenant")
    port, tls_port, management_port, dist_port, epmd_port = free_ports(5)
    broker = Broker(
        directory / "node",
        BrokerConfig(
            port=port,
            tls_port=tls_port,
            management_port=management_port,
            dist_port=dist_port,
            epmd_port=epmd_port,
            username="tenant",
            password=secrets.token_hex(8),
            ca_file=str(certificates.ca_file),
            certificate_file=str(certificates.server_certificate_file),
            key_file=str(certificates.server_key_file),
        ),
    )
    broker.start()
    try:
        yield Site(broker, certificates)
    finally:
        broker.stop()
