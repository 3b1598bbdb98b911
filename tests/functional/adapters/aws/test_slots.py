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
    assert [slots.take("c1", owner, 2, HOLD) for owner in ("a", "b", "c")] == [0, 1, None]
    assert slots.take("c2", "c", 2, HOLD) == 0


def test_holder_renews_its_own_slot_at_the_limit(slots: DynamoDbSlots) -> None:
    slots.take("c1", "a", 1, HOLD)
    assert slots.take("c1", "a", 1, HOLD) == 0


def test_slot_that_was_given_back_is_free_at_once(slots: DynamoDbSlots) -> None:
    slots.take("c1", "a", 2, HOLD)
    slots.take("c1", "b", 2, HOLD)
    slots.give_back("c1", "a")
    assert slots.take("c1", "c", 2, HOLD) == 1


def test_last_slot_that_was_given_back_leaves_no_holder(slots: DynamoDbSlots) -> None:
    slots.take("c1", "a", 1, HOLD)
    slots.give_back("c1", "a")
    assert slots.take("c1", "b", 1, HOLD) == 0


def test_hold_ends_by_itself(slots: DynamoDbSlots, clock: Clock) -> None:
    slots.take("c1", "a", 1, HOLD)
    clock.now += HOLD - 1
    assert slots.take("c1", "b", 1, HOLD) is None
    clock.now += 1
    assert slots.take("c1", "b", 1, HOLD) == 0


def test_end_of_one_hold_does_not_end_another(slots: DynamoDbSlots, clock: Clock) -> None:
    slots.take("c1", "a", 2, HOLD)
    clock.now += HOLD / 2
    slots.take("c1", "b", 2, HOLD)
    clock.now += HOLD / 2
    assert slots.take("c1", "c", 1, HOLD) is None
    assert slots.take("c1", "c", 2, HOLD) == 1


def test_slot_given_back_twice_or_never_taken_is_ignored(slots: DynamoDbSlots) -> None:
    slots.give_back("c1", "a")
    slots.take("c1", "b", 1, HOLD)
    slots.give_back("c1", "a")
    assert slots.take("c1", "c", 1, HOLD) is None


def test_write_that_loses_to_other_writers_is_repeated(services: Services) -> None:
    # Given: two other owners take their slots right before two of our writes
    table = services.settings.table("coordination")
    others = DynamoDbSlots(aws_client("dynamodb"), table, lambda: 0.0)
    owners = ["a", "b"]

    def overtake(**_: object) -> None:
        if owners:
            others.take("c1", owners.pop(), 3, HOLD)

    services.dynamodb.meta.events.register("before-call.dynamodb.PutItem", overtake)
    slots = DynamoDbSlots(services.dynamodb, table, lambda: 0.0, lambda _: None)

    # When
    taken = slots.take("c1", "c", 3, HOLD)

    # Then: no hold is lost
    assert taken == 2
    assert slots.take("c1", "d", 3, HOLD) is None
