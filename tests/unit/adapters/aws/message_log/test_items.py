"""The items that blocks are written to: none grows beyond a kilobyte, and no write is added."""

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.adapters.aws.message_log.items import ROOM, BlockItems, ItemKey, further, further_range, minute_of

OWN = "demo#01KAT5JFT2ZMK0QW8YQ6T1E5A7"
MINUTE = 29_400_000


@given(st.lists(st.integers(0, ROOM + 200), max_size=60))
def test_no_item_exceeds_its_room_except_by_one_large_block(sizes: list[int]) -> None:
    items, used = BlockItems(), dict[ItemKey, int]()
    for size in sizes:
        key = items.choose(OWN, MINUTE, size)
        before = used.get(key, 0)
        used[key] = before + size
        items.wrote(OWN, MINUTE, key, used[key])
        assert used[key] <= ROOM or (before == 0 and key.connection == further(OWN))
        assert key.connection in {OWN, further(OWN)}


def test_counters_without_a_block_stay_in_their_own_item() -> None:
    items = BlockItems()
    items.wrote(OWN, MINUTE, ItemKey(OWN, MINUTE), ROOM)
    assert items.choose(OWN, MINUTE, 0) == ItemKey(OWN, MINUTE)
    assert items.choose(OWN, MINUTE, 1).connection == further(OWN)


def test_size_that_another_process_wrote_counts() -> None:
    items = BlockItems()
    assert items.choose(OWN, MINUTE, 40) == ItemKey(OWN, MINUTE)
    items.wrote(OWN, MINUTE, ItemKey(OWN, MINUTE), ROOM - 10)
    assert items.choose(OWN, MINUTE, 40).connection == further(OWN)


def test_next_minute_and_another_connection_begin_anew() -> None:
    items = BlockItems()
    items.wrote(OWN, MINUTE, ItemKey(OWN, MINUTE), ROOM)
    assert items.choose("other", MINUTE, 40) == ItemKey("other", MINUTE)
    assert items.choose(OWN, MINUTE + 1, 40) == ItemKey(OWN, MINUTE + 1)


@given(st.lists(st.integers(ROOM - 50, ROOM), min_size=2, max_size=10))
def test_further_items_are_within_the_range_of_their_minute(sizes: list[int]) -> None:
    items = BlockItems()
    first, last = further_range(MINUTE, MINUTE)
    for size in [ROOM, *sizes]:
        key = items.choose(OWN, MINUTE, size)
        items.wrote(OWN, MINUTE, key, size)
        if key.connection != OWN:
            assert first <= key.sort <= last
            assert minute_of(key.sort) == MINUTE
