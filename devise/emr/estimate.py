"""What the embed step takes and costs on machines of several types, carried over from rates that were measured here.

Measures nothing and knows no pictures; the whole night's cost is `costs`'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from devise.emr.costs import CARD_IMAGES_S
from devise.emr.instances import Instance, find
from devise.emr.sizes import cores_an_executor, executors_a_node

ON_SPARK = 0.94
"""The embed stage beside the same engine without Spark, on 4,722 images (docs/performance.md); small nights less."""
TYPES = (
    "m6i.4xlarge", "m7i.4xlarge",
    "g4dn.xlarge", "g4dn.2xlarge", "g5.2xlarge", "g6.xlarge", "g6.2xlarge", "g6.4xlarge", "g6e.2xlarge",
)  # fmt: skip
GETS_USD, LISTS_USD = 0.0004 / 1000, 0.005 / 1000
"""S3 in us-east-1 (docs/scale.md)."""
KEYS_A_PAGE = 1000


@dataclass(frozen=True)
class Measured:
    """Images a second here, and where they are from.

    Attributes:
        decode, together: of all cores; together is fetch, decode and network, on `device`.
        cores: that did it.
        card: images a second of the network on a card; None where none is at hand, and CARD_IMAGES_S is assumed.
        spread: of the passes, half the distance of least and most as a share of the median.
    """

    decode: float
    together: float
    cores: int
    spread: float
    card: float | None = None
    card_name: str = ""


class Estimate(NamedTuple):
    """The embed step on one node of a kind: images a second, hours and dollars for the corpus, and the cores.

    cores_a_card: that decode for a card, and how many it would take to feed it; 0 on a CPU.
    """

    instance: Instance
    per_second: float
    hours: float
    usd: float
    cores_a_card: int
    cores_wanted: float


def carry(measured: Measured, images: int, instance: Instance) -> Estimate:
    """The embed step of so many images on one node: a CPU's cores do all of it; a card waits for its decoders or they
    for it, whichever is slower."""
    device = "gpu" if instance.gpus else "cpu"
    each, cores = executors_a_node(instance, device), cores_an_executor(instance, device)
    if device == "cpu":
        if measured.card is not None:
            raise ValueError("found rates of a card, wanted a CPU's for an instance type without cards")
        per_second, wanted = measured.together / measured.cores * each * cores, 0.0
    else:
        card, decoder = measured.card or CARD_IMAGES_S, measured.decode / measured.cores
        per_second, wanted = min(card, decoder * cores) * instance.gpus, card / decoder
    per_second *= ON_SPARK
    hours = images / per_second / 3600
    return Estimate(instance, per_second, hours, hours * instance.usd_hour, cores if instance.gpus else 0, wanted)


def requests_usd(images: int) -> float:
    """Dollars for one GET an image and the corpus listed once."""
    return images * GETS_USD + -(-images // KEYS_A_PAGE) * LISTS_USD


def lines(measured: Measured, images: int, types: Sequence[str] = TYPES) -> list[str]:
    """The estimate for people: a table, the ratio of vCPUs and cards, and what is not known."""
    kinds = [find(name) for name in types]
    found = [carry(measured, images, kind) for kind in kinds if kind.gpus or measured.card is None]
    told = [
        f"embed {images:,} images, one node of each kind (ten take a tenth of the hours, and cost the same):",
        f"{'type':<13}{'vCPUs':>6}{'cards':>6}{'images/s':>10}{'hours':>9}{'USD':>9}  decoders a card, wanted",
    ]
    for one in found:
        kind = one.instance
        ratio = f"  {one.cores_a_card}, {one.cores_wanted:.1f} to feed it" if kind.gpus else ""
        cards = f"{kind.gpus}" if kind.gpus else "-"
        told.append(
            f"{kind.name:<13}{kind.vcpus:>6}{cards:>6}{one.per_second:>10,.0f}{one.hours:>9,.2f}{one.usd:>9,.2f}{ratio}"
        )
    card, decoder = measured.card or CARD_IMAGES_S, measured.decode / measured.cores
    of_card = f"measured on {measured.card_name}" if measured.card else "ASSUMED: no card is at hand"
    told += [
        f"requests: {images:,} GETs and {-(-images // KEYS_A_PAGE):,} LISTs, {requests_usd(images):,.2f} USD",
        f"vCPUs a card: a core decodes {decoder:,.0f} images a second, a card takes {card:,.0f} ({of_card}): "
        f"{card / decoder:.1f} cores feed one; with fewer it waits, and more of them are idle",
        f"uncertain: passes here differ by {measured.spread:.0%} either way; Spark leaves {ON_SPARK:.0%} of the "
        "engine's rate; a vCPU there is taken for a core here, and may do half or twice; "
        + ("cards of other types differ severalfold" if measured.card else "a card may do a third or three times"),
        "prices: us-east-1, on demand, EMR's fee with them; start of nodes, the other steps and storage are not in",
    ]
    return told
