"""The checker of chaos runs finds planted defects."""

from dataclasses import replace

import pytest

from infra.chaos.checker import ConnectionResult, Evidence, check, check_downlinks, share_out
from infra.chaos.picture import draw
from infra.chaos.plan import Kind, Size, make_plan
from infra.chaos.records import Arrival, Backlog, Disturbance, Pause, Post, SentDownlink
from infra.chaos.report import Outcome, markdown

DEVICES = ("A", "B", "C")
COUNTERS = range(5)


def post(device: str, counter: int) -> Post:
    began = 100.0 + 10 * counter + DEVICES.index(device)
    return Post(device, counter, f"digest {device} {counter}", began, began + 0.5)


def arrival(device: str, counter: int, connection: int = 0) -> Arrival:
    at = post(device, counter).began + 1
    return Arrival(connection, device, counter, f"digest {device} {counter}", f"id {device} {counter}", at)


POSTS = [post(device, counter) for counter in COUNTERS for device in DEVICES]
ARRIVALS = [arrival(device, counter) for counter in COUNTERS for device in DEVICES]
KILL = Disturbance("worker killed", "forward", (0,), 122.5, 122.6, (100,))


def result(arrivals: list[Arrival], **others: object) -> tuple[ConnectionResult, list[str]]:
    evidence = replace(Evidence(POSTS, arrivals), **others)  # type: ignore[arg-type]  # the fields that a test is about
    (one,) = check(1, evidence)
    return one, one.faults(evidence.disturbances)


def without(*left_out: tuple[str, int]) -> list[Arrival]:
    return [each for each in ARRIVALS if (each.device, each.counter) not in left_out]


def test_complete_run_has_no_faults() -> None:
    one, faults = result(ARRIVALS)
    assert (one.acknowledged, one.delivered, faults) == (15, 15, [])


def test_lost_report_is_found_on_its_connection_only() -> None:
    everything = [*without(("B", 3)), *(replace(each, connection=1) for each in ARRIVALS)]
    first, second = check(2, Evidence(POSTS, everything))
    assert (first.lost, second.lost) == ([("B", 3)], [])
    assert first.faults([]) == ["1 lost, such as ('B', 3)"]


def test_unacknowledged_report_may_be_missing_or_arrive() -> None:
    posts = [replace(each, ended=None) if (each.device, each.counter) == ("B", 3) else each for each in POSTS]
    for arrivals in (ARRIVALS, without(("B", 3))):
        (one,) = check(1, Evidence(posts, arrivals))
        assert one.faults([]) == []


def test_swap_is_found_within_a_device_and_ignored_between_devices() -> None:
    swapped = list(ARRIVALS)
    swapped[0], swapped[3] = swapped[3], swapped[0]  # A 0 and A 1
    assert result(swapped)[0].out_of_order == [("A", 0)]
    between = list(ARRIVALS)
    between[0], between[1] = between[1], between[0]  # A 0 and B 0
    assert result(between)[1] == []


def test_later_copy_is_a_duplicate_and_not_a_swap() -> None:
    again = replace(arrival("A", 2), at=130.0)
    one, faults = result([*ARRIVALS, again], disturbances=[KILL])
    assert (one.duplicated, one.by_fault[0], one.unexplained, one.out_of_order, faults) == (1, 1, [], [], [])


def test_duplicate_with_another_message_id_is_found() -> None:
    again = replace(arrival("A", 2), at=130.0, message_id="another")
    one, faults = result([*ARRIVALS, again], disturbances=[KILL])
    assert one.other_id == [("A", 2)]
    assert faults == ["1 duplicated with another message_id, such as ('A', 2)"]


def test_more_duplicates_than_unconfirmed_reports_are_a_fault() -> None:
    again = [replace(arrival(device, 2), at=130.0) for device in DEVICES]
    one, faults = result([*ARRIVALS, *again], disturbances=[replace(KILL, limits=(2,))])
    assert one.duplicated == 3
    assert faults == ["3 duplicates after one worker killed, more than were unconfirmed"]


def test_duplicates_are_shared_out_within_the_room_of_each_fault() -> None:
    # The second duplicate has only one fault, so the first one moves to another.
    assert share_out([[1, 0], [1]], [5, 1]) == {0: 1, 1: 1}
    # A chain: the last duplicate makes all others move.
    assert share_out([[0, 1], [1, 2], [0]], [1, 1, 1]) == {0: 1, 1: 1, 2: 1}
    # The last duplicate exceeds the room of every fault.
    assert sorted(share_out([[0, 1], [1, 0], [0]], [1, 1]).values()) == [1, 2]


def test_two_faults_share_duplicates_by_reports_in_flight() -> None:
    again = [replace(arrival(device, 2), at=130.0) for device in DEVICES]
    later = replace(KILL, began=124.0, ended=124.1, connections=(1, 0), limits=(9, 1))
    one, faults = result([*ARRIVALS, *again], disturbances=[replace(KILL, limits=(2,)), later])
    assert (one.by_fault, faults) == ({0: 2, 1: 1}, [])
    one, faults = result([*ARRIVALS, *again], disturbances=[replace(KILL, limits=(1,)), later])
    assert faults == ["2 duplicates after one worker killed, more than were unconfirmed"]


def test_duplicate_far_from_every_fault_is_unexplained() -> None:
    again = replace(arrival("A", 0), at=160.0)
    far = replace(KILL, began=150.0, ended=150.1)
    elsewhere = replace(KILL, began=101.0, ended=102.0, connections=(1,))
    one, _ = result([*ARRIVALS, again], disturbances=[far, elsewhere])
    assert one.unexplained == [("A", 0)]


def test_redelivery_by_a_killed_broker_is_not_a_duplicate() -> None:
    killed = replace(KILL, kind=Kind.BROKER_KILL, target="broker 1")
    again = replace(arrival("A", 2), at=130.0, redelivered=True)
    one, _ = result([*ARRIVALS, again], disturbances=[killed])
    assert (one.handed_out_twice, one.duplicated) == (1, 0)
    assert result([*ARRIVALS, again], disturbances=[KILL])[0].duplicated == 1


@pytest.mark.parametrize(
    "planted",
    [arrival("A", 4), replace(arrival("A", 4), counter=99), replace(arrival("C", 4), digest="of other bytes")],
)
def test_message_that_was_never_posted_is_found(planted: Arrival) -> None:
    never_posted = [each for each in POSTS if (each.device, each.counter) != ("A", 4)]
    arrivals = [each for each in ARRIVALS if (each.device, each.counter) not in {("A", 4), ("C", 4)}]
    (one,) = check(1, Evidence(never_posted, [*arrivals, planted]))
    assert one.unexpected == [(planted.device, planted.counter)]


def test_deactivated_connection_gets_reports_from_before_and_none_from_within() -> None:
    # The connection is inactive from 115 to 125: counters 2 (121) are within, 1 and 3 are outside.
    pause = Pause(0, 114.0, 115.0, 125.0, 126.0)
    within = [(device, 2) for device in DEVICES]
    assert result(without(*within), pauses=[pause])[1] == []
    one, _ = result(without(*within[1:]), pauses=[pause])
    assert one.unexpected == [("A", 2)]
    one, _ = result(without(*within, ("A", 1)), pauses=[pause])
    assert one.lost == [("A", 1)]


@pytest.mark.parametrize("pause", [Pause(0, 119.0, 120.2, 125.0, 126.0), Pause(0, 117.0, 118.0, 120.2, 121.0)])
def test_report_posted_during_the_change_may_arrive_or_not(pause: Pause) -> None:
    inside = [("A", 2)] if pause.on < 122 else [("A", 2), ("B", 2), ("C", 2)]
    for arrivals in (without(*inside), without(*inside[1:])):
        assert result(arrivals, pauses=[pause])[1] == []


def test_waiting_report_is_stuck_and_not_lost() -> None:
    one, faults = result(without(("A", 4), ("B", 4)), waiting={0: 2})
    assert (one.stuck, one.lost, faults) == (2, [], ["2 stuck"])


def test_failed_report_is_a_fault_and_not_lost() -> None:
    one, faults = result(without(("A", 4)), failed={0: 1})
    assert (one.lost, faults) == ([], ["1 given up"])


SENT = [SentDownlink(0, f"{number:08x}", "D", 1, 100.0 + number) for number in range(4)]
TRIED = {each.payload for each in SENT} | {"0000000f"}


def called(*numbers: int) -> list[tuple[str, str]]:
    return [("D", f"{number:08x}") for number in numbers]


def test_downlinks_sent_once_have_no_faults() -> None:
    # The confirm of the last downlink was lost.
    assert check_downlinks(SENT, called(0, 1, 2, 3, 15), TRIED, 0).faults(0, 10) == []


@pytest.mark.parametrize(
    ("calls", "stuck", "kills", "fault"),
    [
        (called(0, 1, 3), 0, 0, "1 downlinks lost, such as 00000002"),
        (called(0, 1, 3), 1, 0, "1 downlinks stuck"),
        (called(0, 1, 2, 3, 77), 0, 0, "1 downlinks unexpected, such as 0000004d"),
        (called(0, 2, 1, 3), 0, 0, "1 downlinks out of order, such as 00000001"),
        (called(0, 1, 1, 2, 3), 0, 0, "1 calls repeated after 0 kills, 1 of one downlink"),
        (called(0, 1, 1, 1, 2, 3), 0, 1, "2 calls repeated after 1 kills, 2 of one downlink"),
    ],
)
def test_planted_downlink_faults_are_found(calls: list[tuple[str, str]], stuck: int, kills: int, fault: str) -> None:
    assert check_downlinks(SENT, calls, TRIED, stuck).faults(kills, 10) == [fault]


def test_each_kill_may_repeat_a_call_once() -> None:
    assert check_downlinks(SENT, called(0, 1, 2, 0, 1, 2, 3), TRIED, 0).faults(1, 10) == []


def test_plan_depends_only_on_the_seed() -> None:
    assert make_plan(Size(seed=7)) == make_plan(Size(seed=7))
    assert make_plan(Size(seed=7)) != make_plan(Size(seed=8))


@pytest.mark.parametrize("seed", range(20))
def test_plan_has_the_requested_faults_within_its_time_and_on_existing_targets(seed: int) -> None:
    size = Size(seed=seed)
    plan = make_plan(size)
    kinds = [fault.kind for fault in plan.faults]
    assert (kinds.count(Kind.BROKER_KILL), kinds.count(Kind.WORKER_KILL)) == (6, 17)
    assert kinds.count(Kind.NETWORK_SERVER_KILL) == 2
    assert set(kinds) == set(Kind) - {Kind.CODEC_KILL}
    assert all(0 < fault.at < plan.seconds for fault in plan.faults)
    proxied = {place.index for place in size.places if place.proxied}
    assert {fault.target for fault in plan.faults if fault.kind is Kind.CUT} <= proxied


def test_plan_with_flows_has_the_other_faults_of_the_plan_without() -> None:
    without = make_plan(Size(reports=2000)).faults
    more = make_plan(Size(reports=2000, flows=True, codec_kills=3)).faults
    assert [fault for fault in more if fault.kind is not Kind.CODEC_KILL] == list(without)
    assert len(more) == len(without) + 3


def test_connections_cover_proxied_and_direct_with_both_protocols() -> None:
    places = Size().places
    assert {(place.proxied, place.tls) for place in places} == {(a, b) for a in (True, False) for b in (True, False)}
    assert {place.node for place in places} == {0, 1}


def test_report_names_broken_guarantees_and_chart_shows_faults() -> None:
    evidence = Evidence(POSTS, without(("B", 3)), [KILL])
    downlinks = check_downlinks(SENT, called(0, 1, 2), TRIED, 0)
    killed = [replace(KILL, note="pid 7")]
    outcome = Outcome(Size(connections=1), check(1, evidence), downlinks, killed, 0, 60.0)
    page = markdown(outcome)
    assert "FAILED" in page
    assert "- **connection 0: 1 lost, such as ('B', 3)**" in page
    assert "- **1 downlinks lost, such as 00000003**" in page
    assert "| worker killed (forward) | 0.0 | 0.1 | 0 | 100 | pid 7 |" in page
    picture = draw([Backlog(100.0, (0, 1), (0, 0)), Backlog(130.0, (7, 1), (2, 0))], [KILL], 1)
    assert picture.startswith("<svg")
    assert "worker killed (forward)" in picture


def test_run_without_faults_passes() -> None:
    downlinks = check_downlinks(SENT, called(0, 1, 2, 3), TRIED, 0)
    outcome = Outcome(Size(connections=1), check(1, Evidence(POSTS, ARRIVALS)), downlinks, [], 0, 60.0)
    assert outcome.faults() == []
    assert "passed" in markdown(outcome)
