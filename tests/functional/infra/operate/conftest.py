"""Fixtures of the operator's commands."""

import pytest

from chalicelib.entry.adapters import Adapters
from chalicelib.entry.services import Services
from tests.functional.doubles import CodecFunction
from tests.functional.infra.operate.cases import Operator, StageCodec


@pytest.fixture
def codec(functions: CodecFunction, monkeypatch: pytest.MonkeyPatch) -> StageCodec:
    """The function that runs drivers, as the commands call it."""
    made = StageCodec(functions)
    monkeypatch.setattr(Adapters, "functions", made)
    return made


@pytest.fixture
def operate(services: Services, codec: StageCodec, capsys: pytest.CaptureFixture[str]) -> Operator:
    """Runs commands on the emulated account of ``services``."""
    assert services.settings.resource_prefix == "iot-flow-test"
    assert codec.names == []
    return Operator(capsys)
