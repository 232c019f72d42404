"""Hours and cost of embedding a corpus, by a sample of it measured here; it measures and prices nothing itself."""

from collections.abc import Sequence

from devise.emr import estimate
from devise.show import probe
from devise.store.sampling import Sample


def lines(config: str, sets: Sequence[str], sample: int | Sample, images: int | None) -> list[str]:
    """What a sample tells of several instance types.

    Args:
        config: URI or path of the nights' settings; `sets` override them.
        sample: how many images to draw, or those that were drawn.
        images: in the corpus; None takes what the catalogue or the listing tells.

    Raises:
        ConfigError: as `probe.probe`; ModelError: no model can be had to measure.
    """
    found = probe.probe(config, sets, sample, images)
    seen = found.rates
    on_card = seen.device != "cpu"
    measured = estimate.Measured(
        decode=seen.decode.median,
        together=seen.together.median,
        cores=seen.cores,
        spread=max(seen.decode.spread, seen.model.spread if on_card else seen.together.spread),
        card=seen.model.median if on_card else None,
        card_name=seen.device if on_card else "",
    )
    return [*probe.lines(found), "", *estimate.lines(measured, found.images)]
