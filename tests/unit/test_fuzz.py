"""A few rounds of the fuzzing of ``make fuzz``, and its detection of a crash."""

from typing import Any

import pytest

from tests.fuzz import TARGETS, Inputs, Target, fuzz


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_hundred_mutated_inputs_are_accepted_or_refused(target: Target) -> None:
    inputs = Inputs(7)
    for _ in range(100):
        target(inputs, [])


def test_same_seed_generates_same_inputs() -> None:
    def fed() -> list[object]:
        inputs = Inputs(3)
        texts = [inputs.text(inputs.patterns, 100) for _ in range(50)]
        return [*texts, *(inputs.body({"a": [1, "x"]}) for _ in range(50))]

    first = fed()
    assert first == fed()
    assert len(set(first)) > 50


def test_crash_is_counted_once_and_printed_with_its_input(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_inputs: Inputs, fed: list[Any]) -> None:
        fed.append("the input")
        raise KeyError("lost")

    assert fuzz(0, 1, (broken, broken)) == 1
    printed = capsys.readouterr().out
    assert "CRASH broken: KeyError" in printed
    assert "the input" in printed
