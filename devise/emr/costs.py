"""What a cluster costs an hour, and a night by the size of its corpus; carried over from measured work, bills nothing.

The figures of work are docs/scale.md's, CPU seconds of an old EPYC's vCPU; images a second of a card are assumed, and
move the total most. Prices are on demand, EMR's fee with them: Spot is cheaper. Requests and storage are not in.
"""

from collections.abc import Iterable
from typing import NamedTuple

from devise.emr.cluster import PRIMARY
from devise.emr.config import EmrConfig
from devise.emr.instances import find
from devise.emr.night import BY_CHOICE, Step

CORPUS_CPU_US = 35 + 18 + 43
"""An image of the corpus, each night: listed, judged by its hash, its labels copied."""
CHANGE_CPU_US = 1_080 + 270 + 36
"""An image that is new or changed: labelled among 80,829 words, added to the index, looked at by the gates."""
WAITING = 2
"""Cores wait, work is skewed and applications start: assumed to double the hours of CPU steps."""
CARD_IMAGES_S = 1_000
"""Images a second of one card: assumed, never measured on one."""
CORE_IMAGES_S = 20
"""Images a second of a core that embeds without a card: assumed for ResNet-50. MobileNetV2, whose pass is a thirteenth
of the work, did 140 (docs/performance.md)."""
START_HOURS = 0.25
"""A cluster comes up, is bootstrapped, and goes: assumed."""
CARDS_START_HOURS = 0.15
"""Cards come up and are bootstrapped: assumed."""
CHANGED = 0.01
"""Share of the corpus that a usual night has new or changed."""
SIZES = (10**6, 10**8, 10**9)


class Cost(NamedTuple):
    """A night on a cluster."""

    hours: float
    card_hours: float
    usd: float


def usd_hour(settings: EmrConfig, cards: bool) -> float:
    """Dollars an hour of the whole cluster, its cards with it or not; of several types of cards the dearest."""
    core = find(settings.core.instance).usd_hour * settings.core.count + find(PRIMARY).usd_hour
    if not (cards and settings.cards):
        return core
    return core + settings.cards.count * max(find(name).usd_hour for name in settings.cards.instances)


def night(settings: EmrConfig, images: int, changed: int) -> Cost:
    """What a night takes and costs.

    Args:
        images: in the corpus.
        changed: of them new or changed; all of them on the first night.
    """
    cores = settings.core.count * find(settings.core.instance).vcpus
    cpu_hours = WAITING * (images * CORPUS_CPU_US + changed * CHANGE_CPU_US) / 1e6 / 3600 / cores + START_HOURS
    if settings.cards:
        each = find(settings.cards.instances[0]).gpus
        with_cards = changed / (CARD_IMAGES_S * each * settings.cards.count) / 3600 + CARDS_START_HOURS
    else:
        cpu_hours += changed / (CORE_IMAGES_S * cores) / 3600
        with_cards = 0.0
    usd = cpu_hours * usd_hour(settings, cards=False) + with_cards * usd_hour(settings, cards=True)
    return Cost(cpu_hours + with_cards, with_cards * (settings.cards.count if settings.cards else 0), usd)


def lines(settings: EmrConfig, steps: Iterable[Step]) -> list[str]:
    """What the cluster of these settings costs, for people; of what is by choice only that it comes on top."""
    cards = settings.cards
    names = f"{cards.count} x {' or '.join(cards.instances)}" if cards else ""
    with_cards = f", {usd_hour(settings, True):.2f} with {names}" if cards else ""
    told = [
        f"cluster: {PRIMARY} and {settings.core.count} x {settings.core.instance}: "
        f"{usd_hour(settings, False):.2f} USD an hour{with_cards}, on demand",
    ]
    for images in SIZES:
        first, usual = night(settings, images, images), night(settings, images, round(images * CHANGED))
        told.append(
            f"{images:>13,} images: a night of {CHANGED:.0%} change {usual.hours:.1f} h and {usual.usd:,.0f} USD, "
            f"the first night {first.hours:,.1f} h and {first.usd:,.0f} USD"
        )
    if more := [stage for step in steps for stage in step.stages if stage in BY_CHOICE]:
        told.append(f"not in these figures, and on top: {', '.join(more)} (docs/search.md, docs/nightly-page.md)")
    return [*told, f"(estimates of work measured on CPUs, and of {CARD_IMAGES_S:,} images a second a card, assumed)"]
