"""What nights are said to cost, by hand and against each other."""

from pathlib import Path

import pytest

from devise.emr import costs
from devise.emr.config import EmrConfig
from devise.emr.instances import find

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = EmrConfig(subnets=["subnet-0"], core={"instance": "m7i.4xlarge", "count": 10}, cards={"count": 20})


def test_an_hour_costs_its_machines_the_dearest_of_several_types():
    core = 10 * find("m7i.4xlarge").usd_hour + find("m7i.xlarge").usd_hour
    assert costs.usd_hour(SETTINGS, cards=False) == pytest.approx(core)
    assert costs.usd_hour(SETTINGS, cards=True) == pytest.approx(core + 20 * find("g5.2xlarge").usd_hour)


def test_a_night_of_a_billion_images_is_worked_out_by_hand():
    found = costs.night(SETTINGS, 10**9, 10**7)
    cpu_hours = 2 * (1e9 * 96e-6 + 1e7 * 1386e-6) / 3600 / 160 + 0.25
    card_hours = 1e7 / 20_000 / 3600 + 0.15
    assert found.hours == pytest.approx(cpu_hours + card_hours) and found.card_hours == pytest.approx(20 * card_hours)
    assert found.usd == pytest.approx(cpu_hours * 10.332 + card_hours * (10.332 + 20 * 1.515), rel=1e-3)


def test_a_night_costs_more_with_more_images_and_more_change_and_cpus_take_longer_than_cards():
    usd = [
        costs.night(SETTINGS, images, changed).usd
        for images, changed in ((10**6, 10**4), (10**8, 10**4), (10**8, 10**6))
    ]
    assert usd == sorted(usd)
    bare = SETTINGS.model_copy(update={"cards": None})
    assert costs.night(bare, 10**8, 10**8).hours > costs.night(SETTINGS, 10**8, 10**8).hours
    assert costs.night(bare, 10**8, 10**8).card_hours == 0


@pytest.mark.parametrize(
    ("images", "usual", "first"),
    [
        (10**6, (1, "m7i.2xlarge", 1), (1, "m7i.2xlarge", 1)),
        (10**8, (2, "m7i.4xlarge", 2), (4, "m7i.4xlarge", 10)),
        (10**9, (10, "m7i.4xlarge", 10), (20, "m7i.4xlarge", 50)),
    ],
)
def test_the_runbook_s_table_is_what_is_worked_out(images, usual, first):
    def cells(shape, changed):
        count, name, cards = shape
        settings = EmrConfig(subnets=["subnet-0"], core={"instance": name, "count": count}, cards={"count": cards})
        found = costs.night(settings, images, changed)
        return f"{found.hours:.1f} | {found.usd:.0f}", f"{count} x {name}, {cards}"

    (night, core), (beginning, begun_on) = cells(usual, images // 100), cells(first, images)
    row = (
        f"| 10^{len(str(images)) - 1} | {core} | {night} | {'the same' if first == usual else begun_on} | {beginning} |"
    )
    assert row in (ROOT / "deploy/README.md").read_text()
