"""Slots in DynamoDB: limits, renewals and ends of holds."""

import pytest

from chalicelib.adapters.aws.clients import aws_client
from chalicelib.adapters.aws.coordination.slots import DynamoDbSlots
from chalicelib.entry.services import Services
from tests.functional.adapters.aws.test_claims import Clock

HOLD = 60.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slots(services: Services, clock: Clock) -> DynamoDbSlots:
    return DynamoDbSlots(services.dynamodb, services.settings.table("coordination"), clock)


def test_limit_holders_get_a_slot_and_the_next_one_none(slots: DynamoDbSlots) -> None:
    assert [slots.take("c1", owner, 2, HOLD) for owner in ("a", "b", "c")] == [[], ["a"], None]
    assert slots.take("c2", "c", 2, HOLD) == []


def test_holder_renews_its_own_slot_at_the_limit(slots: DynamoDbSlots) -> None:
    slots.take("c1", "a", 1, HOLD)
    assert slots.take("c1", "a", 1, HOLD) == []


def test_slot_that_was_given_back_is_free_at_once(slots: DynamoDbSlots) -> None:
    slots.take("c1", "a", 2, HOLD)
    slots.take("c1", "b", 2, HOLD)
    slots.give_back("c1", "a")
    assert slots.take("c1", "c", 2, HOLD) == ["b"]


def test_last_slot_that_was_given_back_leaves_no_holder(slots: DynamoDbSlots) -> None:
    slots.take("c1", "a", 1, HOLD)
    slots.give_back("c1", "a")
    assert slots.take("c1", "b", 1, HOLD) == []


def test_hold_ends_by_itself(slots: DynamoDbSlots, clock: Clock) -> None:
    slots.take("c1", "a", 1, HOLD)
    clock.now += HOLD - 1
    assert slots.take("c1", "b", 1, HOLD) is None
    clock.now += 1
    assert slots.take("c1", "b", 1, HOLD) == []


def test_end_of_one_hold_does_not_end_another(slots: DynamoDbSlots, clock: Clock) -> None:
    slots.take("c1", "a", 2, HOLD)
    clock.now += HOLD / 2
    slots.take("c1", "b", 2, HOLD)
    clock.now += HOLD / 2
    assert slots.take("c1", "c", 1, HOLD) is None
    assert slots.take("c1", "c", 2, HOLD) == ["b"]


def test_slot_given_back_twice_or_never_taken_is_ignored(slots: DynamoDbSlots) -> None:
    slots.give_back("c1", "a")
    slots.take("c1", "b", 1, HOLD)
    slots.give_back("c1", "a")
    assert slots.take("c1", "c", 1, HOLD) is None


def overtaken(services: Services, write: str, now: float) -> DynamoDbSlots:
    """Slots whose first write with this text in its expression comes right after another owner took a slot."""
    table = services.settings.table("coordination")
    others = DynamoDbSlots(aws_client("dynamodb"), table, lambda: now)
    owners = ["a"]

    def overtake(params: dict[str, bytes], **_: object) -> None:
        if owners and write in params["body"].decode():
            assert others.take("c1", owners.pop(), 2, HOLD) == []

    services.dynamodb.meta.events.register("before-call.dynamodb.UpdateItem", overtake)
    return DynamoDbSlots(services.dynamodb, table, lambda: now)


def test_two_owners_that_create_the_item_at_the_same_time_each_get_a_slot(services: Services) -> None:
    slots = overtaken(services, "SET holders = ", 0.0)
    assert slots.take("c1", "c", 2, HOLD) == ["a"]
    assert slots.take("c1", "d", 2, HOLD) is None


def test_two_owners_that_replace_the_same_ended_holds_each_get_one_slot(
    services: Services, slots: DynamoDbSlots, clock: Clock
) -> None:
    for owner in ("x", "y"):
        slots.take("c1", owner, 2, HOLD)
    later = overtaken(services, "REMOVE", clock() + HOLD)
    assert later.take("c1", "c", 2, HOLD) == ["a"]
    assert later.take("c1", "d", 2, HOLD) is None


def test_slot_costs_one_write_while_others_hold_the_key(services: Services, slots: DynamoDbSlots) -> None:
    slots.take("c1", "a", 9, HOLD)
    writes: list[object] = []
    services.dynamodb.meta.events.register("before-call.dynamodb.*", lambda **kw: writes.append(kw["model"].name))
    assert [slots.take("c1", owner, 9, HOLD) for owner in ("b", "c", "a")] == [["a"], ["a", "b"], ["b", "c"]]
    assert writes == ["UpdateItem"] * 3


def test_key_is_in_use_until_its_last_hold_ends(slots: DynamoDbSlots, clock: Clock) -> None:
    assert not slots.in_use("c1")
    slots.take("c1", "a", 2, HOLD)
    slots.take("c1", "b", 2, HOLD)
    slots.give_back("c1", "a")
    assert slots.in_use("c1")
    slots.give_back("c1", "b")
    assert not slots.in_use("c1")
    slots.take("c1", "a", 2, HOLD)
    clock.now += HOLD + 1
    assert not slots.in_use("c1")
