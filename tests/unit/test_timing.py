"""The durations keep their order at every TIME_SCALE."""

import pytest

from chalicelib.config import Timing


@pytest.mark.parametrize("scale", [1, 2, 6, 12, 60, 3000])
def test_durations_of_polls_and_leases_keep_their_order(scale: float) -> None:
    timing = Timing.scaled(scale)
    # One missed run of the schedule causes no gap.
    assert 2 * timing.poll_period < timing.poll_close < timing.poll
    assert timing.poll_close <= timing.poll_timeout - timing.spare
    assert timing.poll < timing.poll_timeout < timing.poll_visibility
    # Renewals are up to 1.5 times the interval apart.
    assert 1.5 * timing.lease_renewal < timing.lease < timing.poll_period
    assert timing.schedule <= timing.poll_period
