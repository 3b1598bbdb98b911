"""Fixture of the operator's commands."""

import pytest

from chalicelib.entry.services import Services
from tests.functional.infra.operate.cases import Operator


@pytest.fixture
def operate(services: Services, capsys: pytest.CaptureFixture[str]) -> Operator:
    """Runs commands on the emulated account of ``services``."""
    assert services.settings.resource_prefix == "iot-flow-test"
    return Operator(capsys)
