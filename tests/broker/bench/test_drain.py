"""The drain that ``make bench`` measures publishes every report."""

import pytest

from infra.bench import drain
from infra.bench.broker import control_channel
from infra.bench.peers.job import QUEUE
from infra.local.broker.node import Broker

REPORTS = 35


def test_each_drain_publishes_the_whole_backlog(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drain, "REPORTS", REPORTS)
    monkeypatch.setattr(drain, "GOALS", {0.001: 1, 0.002: 10**9})
    drain.drain_rates(broker.config.port, broker.config.password)
    met, missed = capsys.readouterr().out.splitlines()
    assert "SQS at 1 ms" in met
    assert met.endswith("goal 1/s: met")
    assert "SQS at 2 ms" in missed
    assert missed.endswith("MISSED")
    with control_channel(broker.config.port, broker.config.password) as control:
        # The queue is emptied before each of the two measurements.
        declared = control.queue_declare(QUEUE, passive=True)
    assert declared.method.message_count == (drain._WARM_UPS + drain._ROUNDS) * REPORTS
