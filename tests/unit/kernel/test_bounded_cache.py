"""The cache drops the least recently used values, and counts heavy ones as several."""

from chalicelib.kernel.bounded_cache import BoundedCache


def test_least_recently_used_value_is_dropped() -> None:
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    assert cache.put_if_absent("a", 9) == 1
    assert cache.put_if_absent("d", 4) == 4
    cache.drop("d")
    cache.drop("unknown")
    assert [cache.get(key) for key in "acd"] == [None, 3, None]


def test_heavy_value_takes_the_place_of_several() -> None:
    cache: BoundedCache[str, int] = BoundedCache(10, lambda value: value)
    for key, weight in (("a", 4), ("b", 4), ("c", 3)):
        cache.put(key, weight)
    assert [cache.get(key) for key in "abc"] == [None, 4, 3]
    cache.put("b", 1)
    cache.put("d", 6)
    assert [cache.get(key) for key in "bcd"] == [1, 3, 6]


def test_value_that_is_too_heavy_is_kept_alone() -> None:
    cache: BoundedCache[str, int] = BoundedCache(10, lambda value: value)
    cache.put("a", 1)
    cache.put("huge", 100)
    assert [cache.get(key) for key in ("a", "huge")] == [None, 100]
    cache.put("b", 1)
    assert [cache.get(key) for key in ("huge", "b")] == [None, 1]
