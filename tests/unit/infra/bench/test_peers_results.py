"""Statistics, goals, table and picture of the comparison with other clients, and the confirms that stop its clocks."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from infra.bench.peers.contenders.confirms import ACK, CONSUMING, Confirms, Frames, acknowledged
from infra.bench.peers.picture import draw
from infra.bench.peers.processes import Sample
from infra.bench.peers.reports import report_body
from infra.bench.peers.results import judged, ratios, spread, summary
from infra.bench.peers.scenes import (
    AMQPLIB,
    CONTENDERS,
    GOALS,
    HANDLER,
    LIMIT,
    ONE,
    OURS,
    PUBLISHER,
    SCENES,
    SHOVEL,
)  # fmt: skip
from infra.bench.peers.table import verdict_lines, written_table

RATES = {name: 1000.0 * (number + 1) for number, name in enumerate(reversed(CONTENDERS))}
"""The limit is the fastest."""


def rounds(without: Sequence[str] = ()) -> dict[str, dict[str, list[Sample]]]:
    return {
        scene.name: {
            name: [Sample(rate * slow, 50.0) for slow in (1.0, 0.5, 0.9)]
            for name, rate in RATES.items()
            if name not in without
        }
        for scene in SCENES
    }


def results(samples: Mapping[str, Mapping[str, Sequence[Sample]]]) -> dict[str, Any]:
    return {
        "measured": "2026-11-27",
        "machine": "a <machine>",
        "versions": {"python": "3.11"},
        "rounds": 3,
        "messageBytes": 1500,
        "scenes": summary(samples),
        "goals": judged(samples),
    }


def test_ratio_compares_rates_of_the_same_round() -> None:
    samples = {LIMIT: [Sample(100, 1), Sample(10, 1), Sample(50, 1)], ONE: [Sample(50, 1), Sample(5, 1), Sample(25, 1)]}
    assert ratios(samples, ONE).median == ratios(samples, ONE).low == 0.5


def test_spread_gives_median_and_quartiles() -> None:
    found = spread([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (found.low, found.median, found.high) == (2.0, 3.0, 4.0)
    assert spread([7.0]).high == 7.0


def test_goal_is_missed_below_its_minimum_and_met_at_it() -> None:
    samples = rounds()
    for scene in samples.values():
        scene[PUBLISHER] = [Sample(0.85 * each.rate, 50.0) for each in scene[LIMIT]]
        scene[HANDLER] = [Sample(0.64 * each.rate, 46.0) for each in scene[LIMIT]]
    verdicts = judged(samples)
    met = {(goal["contender"], goal["scene"], goal.get("of")): goal["met"] for goal in verdicts}
    assert met[PUBLISHER, "10 near", LIMIT]
    assert not met[HANDLER, "10 near", LIMIT]
    assert not met[HANDLER, "100 near", None], "46 µs of CPU"
    lines = list(verdict_lines({"goals": verdicts}))
    assert "MISSED: our handler, 10 near: 0.64 of limit, goal 0.65" in lines
    assert "MISSED: our handler, 100 near: 46 µs of CPU, goal 45 µs" in lines


def test_goals_name_scenes_and_contenders() -> None:
    assert {goal.scene for goal in GOALS} <= {scene.name for scene in SCENES}
    assert {goal.contender for goal in GOALS} == set(OURS)
    assert {goal.of for goal in GOALS} < set(CONTENDERS)


def test_contender_that_was_skipped_has_no_row_and_no_goal() -> None:
    found = results(rounds(without=[AMQPLIB]))
    assert not any(goal.get("of") == AMQPLIB for goal in found["goals"])
    assert not any(CONTENDERS[AMQPLIB] in line for line in written_table(found))
    assert CONTENDERS[AMQPLIB] not in draw(found)


def test_table_fits_a_terminal_and_shows_no_cpu_of_the_shovel() -> None:
    lines = list(written_table(results(rounds())))
    assert max(map(len, lines)) <= 120
    shovels = [line for line in lines if line.startswith(CONTENDERS[SHOVEL])]
    assert [set(line.split()[2:]) == {"-"} for line in shovels] == [False, True]


def test_picture_is_valid_and_has_a_bar_for_each_contender_in_each_scene() -> None:
    picture = ET.fromstring(draw(results(rounds())))  # noqa: S314  # our own document
    classes = [element.get("class") for element in picture.iter("{http://www.w3.org/2000/svg}rect")]
    assert classes.count("ours") == len(SCENES) * len(OURS)
    assert classes.count("peer") == len(SCENES) * (len(CONTENDERS) - len(OURS) - 1)
    assert "a &lt;machine&gt;" in draw(results(rounds()))


def test_report_is_as_large_and_as_nested_as_a_real_one() -> None:
    sizes = [len(report_body(device, 1)) for device in range(1000)]
    assert min(sizes) >= 1200
    assert max(sizes) <= 2200
    assert report_body(3, 1) == report_body(3, 1) != report_body(3, 2)


@pytest.mark.parametrize(
    ("acks", "settled"),
    [
        ([(1, False), (3, False)], 1),
        ([(1, False), (3, False), (2, False)], 3),
        ([(3, True), (5, False), (4, False)], 5),
        ([(2, False), (3, True), (1, True)], 3),
        ([], 0),
    ],
)
def test_tag_is_settled_once_all_earlier_ones_are(acks: list[tuple[int, bool]], settled: int) -> None:
    confirms = Confirms()
    for tag, multiple in acks:
        confirms.add(tag, multiple)
    assert confirms.settled == settled


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_frames_are_read_from_pieces_of_any_size(size: int) -> None:
    ack = b"\x01\x00\x01\x00\x00\x00\x0d\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x07\x01\xce"
    body = b"\x03\x00\x01\x00\x00\x00\x03abc\xce"
    consuming = b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x15\xce"
    data, frames = ack + body + consuming + ack, Frames()
    found = [method for at in range(0, len(data), size) for method in frames.methods(data[at : at + size])]
    assert [name for name, _ in found] == [ACK, CONSUMING, ACK]
    assert acknowledged(found[0][1]) == (7, 1)
