"""What estimate says of a machine that others use."""

import pytest

from devise.show import probe
from devise.vision.rates import Rate, Rates

RATE = Rate(100.0, 90.0, 110.0)


@pytest.mark.parametrize(("load", "busy"), [(0.9, False), (3.0, True)])
def test_a_busy_machine_is_told(load, busy):
    seen = Rates(RATE, RATE, RATE, RATE, "cpu", 2, 600, 16_000.0, 1)
    told = "\n".join(probe.lines(probe.Probe(seen, "m", 10**6, "listed", load)))
    assert ("wanted a quiet machine" in told) == busy
    assert "together       100  (90 to 110)" in told and "1 rejects, of 1,000,000 (listed)" in told
