"""The sketch of devices: exact while it is small, near enough beyond, and whole however it was put together."""

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.kernel.theta_sketch import K, Sketch, device_hash

SIGHTINGS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 59)), max_size=120)


def of(sightings: list[tuple[int, int]], size: int = K) -> Sketch:
    sketch = Sketch(size=size)
    for device, minute in sightings:
        sketch.add(device_hash(f"{device:016X}"), minute)
    return sketch


def devices(number: int, offset: int = 0) -> Sketch:
    return of([(offset + device, device % 60) for device in range(number)])


def counted(*sketches: Sketch) -> int:
    return Sketch.count((sketch, 0) for sketch in sketches)


@pytest.mark.parametrize("number", [0, 1, 999, 1000, 1001, 5000, K])
def test_the_count_is_exact_as_long_as_every_hash_is_kept(number: int) -> None:
    assert counted(devices(number)) == number


@pytest.mark.parametrize("number", [K + 1, 12_000, 20_000, 50_000])
def test_beyond_the_count_is_within_three_percent(number: int) -> None:
    errors = [counted(devices(number, offset * 1_000_000)) / number - 1 for offset in range(1, 16)]
    assert max(map(abs, errors)) < 0.03
    assert fmean(error * error for error in errors) ** 0.5 < 0.015


def test_the_sketch_of_any_number_has_sixty_kilobytes_at_the_most() -> None:
    assert len(devices(30_000).to_bytes()) == 6 + 6 * K


def test_hours_are_counted_together_as_different_devices() -> None:
    first, second = devices(15_000), devices(15_000, 10_000)
    assert counted(first, second) == pytest.approx(25_000, rel=0.03)
    assert counted(devices(400), devices(400, 200)) == 600


def test_the_devices_of_a_part_of_an_hour() -> None:
    # One third of the devices each in the minutes 10, 30 and 50.
    sketch = of([(device, (10, 30, 50)[device % 3]) for device in range(30_000)])
    assert Sketch.count([(sketch, 20)]) == pytest.approx(20_000, rel=0.03)
    assert Sketch.count([(of([(1, 10), (2, 30), (2, 5)]), 30)]) == 1


@given(SIGHTINGS, SIGHTINGS, st.sampled_from([5, 20, K]))
def test_merged_is_the_same_as_noted_in_one(left: list[tuple[int, int]], right: list[tuple[int, int]], k: int) -> None:
    merged = of(left, k)
    merged.merge(of(right, k))
    other = of(right, k)
    other.merge(of(left, k))
    together = of([*left, *right], k)
    # The bounds may differ, what is kept below the lower one may not.
    for minute in (0, 30, 59):
        assert Sketch.count([(merged, minute), (together, minute)]) == Sketch.count([(merged, minute)])
        assert Sketch.count([(merged, minute)]) == Sketch.count([(other, minute)])


@given(SIGHTINGS, st.sampled_from([5, 20, K]))
def test_stored_and_read_is_the_same(sightings: list[tuple[int, int]], k: int) -> None:
    sketch = of(sightings, k)
    read = Sketch.from_bytes(sketch.to_bytes(), k)
    assert counted(read) == counted(sketch)
    assert not read.merge(sketch)
    assert sorted(read.to_bytes()) == sorted(sketch.to_bytes())


def test_only_news_are_news() -> None:
    sketch = Sketch(size=2)
    assert sketch.add(5, 10)
    assert not sketch.add(5, 10)
    assert not sketch.add(5, 9)
    assert sketch.add(5, 11)
    for hash_ in range(1000, 1050):
        sketch.add(hash_, 0)
    sketch.to_bytes()
    assert not sketch.would_add(1999, 59)
