"""The figures of `accept_quality` as lines of Markdown, with what was asked of them; measures nothing itself."""

from collections.abc import Sequence

import numpy as np
from accept_quality import KS, NIGHT, VARIANTS, Study, percent

from devise.learning.intervals import clustered
from devise.vision.networks import Core

ASKED = {
    "Z, 54 nouns": (40, 70, 82, 92),
    "Z, all": (None, 15, None, 25),
    "S, all": (89, None, None, None),
}
"""hit@KS that were asked of the night with MobileNetV2."""


def tables(study: Study, core: Core, denied_V: np.ndarray, seeds: Sequence[int]) -> list[str]:
    """All figures of one network, as lines of Markdown."""
    protocols = {"P": study.protocol_p(), "A": study.protocol_a(), "Z": study.protocol_z()}
    counts = {name: (sum(len(one.truth_N) for one in asked), len(asked[0].own)) for name, asked in protocols.items()}
    lines = [", ".join(f"{name}: n = {n:,}, {own} nouns" for name, (n, own) in counts.items()), ""]
    heads = [f"{name}, {among}" for name in protocols for among in (f"{counts[name][1]} nouns", "all")]
    lines += ["| configuration | " + " | ".join(f"{head} @{'/'.join(map(str, KS))}" for head in heads) + " |"]
    lines += ["|---" * (len(heads) + 1) + "|"]
    for variant in VARIANTS:
        cells = [
            "/".join(f"{hit:.1f}" for hit in percent(rank_N, KS))
            for asked in protocols.values()
            for rank_N in study.measure(variant, asked)
        ]
        lines.append(f"| {variant.name} | " + " | ".join(cells) + " |")
    lines += ["", "The night, with 95 % by drawing labels:", ""]
    found = {}
    for name, asked in protocols.items():
        truth_N = np.concatenate([one.truth_N for one in asked])
        for among, rank_N in zip((f"{counts[name][1]} nouns", "all"), study.measure(NIGHT, asked), strict=True):
            found[f"{name}, {among}"] = percent(rank_N, KS)
            told = (
                f"@{k} {hit:.1f} ({low:.1f} to {high:.1f})"
                for k, hit in zip(KS, percent(rank_N, KS), strict=True)
                for low, high in [interval(rank_N, truth_N, k)]
            )
            lines.append(f"- {name}, {among}: " + ", ".join(told))
    each = np.array(study.protocol_s(seeds))
    found["S, all"] = tuple(each.mean(axis=0))
    lines.append(
        "- S, all, a classifier of the folders' own labels (loss softmax): "
        + ", ".join(f"@{k} {hit:.1f}" for k, hit in zip(KS, found["S, all"], strict=True))
        + f" (mean of {len(each)} splits, deviation {each[:, 0].std():.1f} @1)"
    )
    for name, asked in ASKED.items():
        pairs = [(k, hit, least) for k, hit, least in zip(KS, found.get(name, KS), asked, strict=True) if least]
        told = ", ".join(f"@{k} {hit:.1f} of {least}{'' if hit >= least else ' SHORT'}" for k, hit, least in pairs)
        lines.append(f"- asked: {name}: {told}")
    measured = study.answers(NIGHT, core, denied_V)
    lines += ["", "Answers of held-out classes (nested: each fold by the calibration of the others):", ""]
    lines += ["| least specificity | target | n | answered % | right % | specificity | itself or 2 edges above % |"]
    lines += ["|---" * 7 + "|"]
    lines += [
        f"| {one.least} | {one.target} | {one.n:,} | {100 * one.answered:.1f} | {100 * one.right:.1f} | "
        f"{one.specificity:.2f} | {100 * one.near:.1f} |"
        for one in measured.given
    ]
    return [*lines, "", f"Expected calibration error of all labels' probabilities, ten bins: {measured.error:.3f}"]


def interval(rank_N: np.ndarray, truth_N: np.ndarray, k: int) -> tuple[float, float]:
    """95 % of hit@k in percent, by drawing labels: their images are alike."""
    _, at_N = np.unique(truth_N, return_inverse=True)
    hits_C, n_C = np.bincount(at_N, rank_N < k), np.bincount(at_N)
    [(low, high)] = clustered(hits_C[:, None], n_C, seed=0)
    return 100 * low, 100 * high
