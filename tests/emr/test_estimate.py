"""Rates of a sample are carried to machines by arithmetic that is worked out here, and what is assumed is said."""

import pytest

from devise.emr import estimate
from devise.emr.costs import CARD_IMAGES_S
from devise.emr.estimate import Measured, carry
from devise.emr.instances import find

HERE = Measured(decode=1_000.0, together=100.0, cores=2, spread=0.1)
"""500 images a second a core are decoded, 50 go all the way."""


def test_a_cpu_s_cores_do_all_of_it_but_the_application_master_s():
    """16 vCPUs: three executors of five cores. 15 cores x 50 images x 0.94 = 705 a second; 2,538,000 are an hour."""
    found = carry(HERE, 2_538_000, find("m6i.4xlarge"))
    assert found.per_second == pytest.approx(705) and found.hours == pytest.approx(1.0)
    assert found.usd == pytest.approx(find("m6i.4xlarge").usd_hour)


def test_a_card_waits_for_too_few_decoders():
    """3 cores decode 1,500 a second, more than a card is assumed to take; slow decoders are the bound."""
    assert carry(HERE, 1, find("g6.xlarge")).per_second == pytest.approx(0.94 * CARD_IMAGES_S)
    slow = Measured(decode=200.0, together=50.0, cores=2, spread=0.1)
    found = carry(slow, 1, find("g6.xlarge"))
    assert found.per_second == pytest.approx(0.94 * 300)
    assert (found.cores_a_card, found.cores_wanted) == (3, 10.0)


def test_a_node_s_cards_share_its_cores():
    found = carry(HERE, 1, find("g6.12xlarge"))  # 48 vCPUs: 11 a card
    assert found.cores_a_card == 11 and found.per_second == pytest.approx(0.94 * 4 * CARD_IMAGES_S)


def test_a_measured_card_takes_the_place_of_the_assumed_one():
    measured = Measured(decode=10_000.0, together=2_000.0, cores=2, spread=0.1, card=2_500.0, card_name="L4")
    assert carry(measured, 1, find("g6.xlarge")).per_second == pytest.approx(0.94 * 2_500)
    told = "\n".join(estimate.lines(measured, 10**6))
    assert "measured on L4" in told and "ASSUMED" not in told and "m6i" not in told


def test_what_is_assumed_is_said_with_the_spread_and_the_ratio():
    told = "\n".join(estimate.lines(HERE, 10**6))
    assert "ASSUMED: no card is at hand" in told and "differ by 10% either way" in told
    assert "a core decodes 500 images a second, a card takes 1,000" in told and ": 2.0 cores feed one" in told


def test_requests_are_a_get_an_image_and_a_list_a_thousand():
    assert estimate.requests_usd(10**6) == pytest.approx(0.4 + 0.005)
