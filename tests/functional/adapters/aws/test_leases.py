"""Leases of polls and holds of connections against moto, also those of an earlier release."""

from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.adapters.aws.coordination.leases import DynamoDbLeases
from chalicelib.adapters.aws.dynamodb import from_item, to_item
from chalicelib.entry.services import Services
from chalicelib.ports.coordination import Hold, PollLease

NOW = 1_700_000_000.0
SECONDS, LONGEST = 20.0, 150.0


@dataclass
class Case:
    services: Services
    now: float = NOW

    def __post_init__(self) -> None:
        table = self.services.settings.table("coordination")
        self.leases = DynamoDbLeases(self.services.dynamodb, table, lambda: self.now, SECONDS, LONGEST)

    def put(self, **item: Any) -> None:
        table = self.services.settings.table("coordination")
        self.services.dynamodb.put_item(TableName=table, Item=to_item(item))

    def items(self) -> dict[str, dict[str, Any]]:
        found = self.services.dynamodb.scan(TableName=self.services.settings.table("coordination"))["Items"]
        return {item["id"]: item for item in map(from_item, found)}


@pytest.fixture
def case(services: Services) -> Case:
    return Case(services)


def test_lease_lasts_while_it_is_renewed(case: Case) -> None:
    leases = case.leases
    leases.begin("one", NOW + 10)
    case.now += SECONDS - 1
    assert leases.renew("one", NOW + 30, []) == frozenset()
    case.now += SECONDS - 1
    assert leases.lease("one", []) == PollLease(NOW + 30, frozenset())
    case.now += 1
    assert leases.renew("one", NOW + 50, []) is None


def test_expired_lease_is_ended_for_good(case: Case) -> None:
    case.leases.begin("one", NOW + 10)
    case.now += SECONDS
    assert case.leases.lease("one", []) is None
    # Its owner's clock may be slow.
    case.now -= 5
    assert case.leases.renew("one", NOW + 30, []) is None


def test_holder_learns_of_the_connections_that_others_asked_for(case: Case) -> None:
    leases = case.leases
    leases.begin("one", NOW + 10)
    leases.ask("one", ["a", "b"])
    leases.ask("one", ["d"])
    assert leases.renew("one", NOW + 20, ["a", "b", "c"]) == frozenset({"a", "b"})
    # An answer may be lost, so each later one has them, too.
    assert leases.renew("one", NOW + 30, ["a", "c"]) == frozenset({"a"})
    leases.release("one", ["b"])
    assert leases.lease("one", ["a", "b"]) == PollLease(NOW + 30, frozenset({"b"}))


def test_ended_lease_is_neither_asked_nor_released(case: Case) -> None:
    leases = case.leases
    leases.begin("one", NOW + 10)
    leases.end("one")
    leases.ask("one", ["a"])
    leases.release("one", ["a"])
    assert leases.lease("one", ["a"]) is None
    assert case.items() == {}


def test_connection_is_taken_from_the_named_poll_only(case: Case) -> None:
    leases = case.leases
    assert leases.take("a", Hold("one", NOW), None)
    assert leases.take("a", Hold("one", NOW), None)
    assert not leases.take("a", Hold("two", NOW), None)
    assert not leases.take("a", Hold("two", NOW), "three")
    assert leases.take("a", Hold("two", NOW), "one")
    assert leases.holds(["a", "b"]) == {"a": Hold("two", NOW)}


def test_holds_of_many_connections_are_read_together(case: Case) -> None:
    names = [f"c{number}" for number in range(150)]
    for name in names:
        case.leases.take(name, Hold("one", NOW), None)
    assert case.leases.holds(names) == dict.fromkeys(names, Hold("one", NOW))
    assert case.leases.holds([]) == {}


def test_full_lease_is_written_for_few_units(case: Case) -> None:
    names = [f"01KAT5JFT2ZMK0QW8YQ6T1{number:04d}" for number in range(200)]
    case.leases.begin("one", NOW + 10)
    case.leases.ask("one", names)
    assert case.leases.renew("one", NOW + 20, names) == frozenset(names)
    case.leases.release("one", names[:80])
    assert case.leases.renew("one", NOW + 20, names) == frozenset(names[80:])
    lease = case.leases.lease("one", names)
    assert lease is not None
    assert lease.released == frozenset(names[:80])
    sizes = [len(value) for value in case.items()["poll#one"].values() if isinstance(value, frozenset)]
    assert sorted(sizes) == [80, 120]


# The first release renews the hold of each connection


def test_hold_of_an_earlier_release_is_respected(case: Case) -> None:
    case.put(id="a", owner="old", leaseUntil=NOW + 5, expires=int(NOW) + 60)
    case.put(id="b", owner="old", leaseUntil=NOW + 5, expires=int(NOW) + 60, began=NOW - 50, renewsAt=NOW + 3)
    assert case.leases.holds(["a", "b"]) == {"a": Hold("old", 0.0, 0.0), "b": Hold("old", NOW - 50, NOW + 3)}
    assert not case.leases.take("a", Hold("new", NOW), None)
    case.now += 5
    assert case.leases.holds(["a"]) == {}
    assert case.leases.take("a", Hold("new", NOW), None)


def test_poll_of_an_earlier_release_is_asked_by_its_hold(case: Case) -> None:
    case.put(id="a", owner="old", leaseUntil=NOW + 5, expires=int(NOW) + 60)
    case.leases.ask_earlier_release("a", "another")
    assert "askedFor" not in case.items()["a"]
    case.leases.ask_earlier_release("a", "old")
    assert case.items()["a"]["askedFor"] == NOW


def test_earlier_release_sees_a_hold_until_its_function_has_ended(case: Case) -> None:
    case.leases.take("a", Hold("new", NOW - 100), None)
    item = case.items()["a"]
    assert (item["owner"], item["leaseUntil"]) == ("new", NOW + LONGEST)
    assert {"began", "renewsAt", "expires"} <= item.keys()
