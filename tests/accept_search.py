"""What words find among real photographs: precision@10 of seen and of zero-shot nouns, and a contact sheet.

    python tests/accept_search.py --data ../shared/data --warehouse W [--sheets FOLDER]

W is a published night of conf/photographs.yaml. 20 nouns of each kind are drawn by hash among those whose class folders
hold at least ten photographs; a hit is an image of such a folder. By the lists of words (relevance), and by the cosine
alone for comparison, as an index ranks. Then sums, weighted ones and differences: their five best, folder by folder.
"""

import argparse
import hashlib
import json
import os
import platform
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

from devise.learning.intervals import clustered
from devise.search import grammar
from devise.search.searcher import Searcher
from devise.show.report import contact_sheet
from devise.show.terminal import embed_picture
from devise.store import storage

K, N_NOUNS, ON_A_SHEET = 10, 20, 6
SUMS = (
    "ship + airplane", "2 * cat + piano", "elephant + umbrella", "musical instrument - guitar", "bird - flamingo",
    "wildcat + water", "motorbike - wheel",
)  # fmt: skip


def draw(nouns: dict[str, set[str]], sizes: Counter) -> list[str]:
    """Nouns with enough photographs, in the order of a hash."""
    enough = [noun for noun, folders in nouns.items() if sum(sizes[folder] for folder in folders) >= K]
    return sorted(enough, key=lambda noun: hashlib.sha256(noun.encode()).hexdigest())[:N_NOUNS]


def folder_of(uri: str) -> str:
    return uri.rsplit("/", 2)[-2]


def by_cosine(searcher: Searcher, noun: str) -> Sequence[str]:
    """uris of the K nearest to a noun's vector."""
    return [hit.uri for hit in searcher.search(searcher.lookup(noun), "word", K).hits]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--warehouse", required=True)
    parser.add_argument("--sheets", type=Path)
    options = parser.parse_args()
    protocol = json.loads((options.data / "taxonomy/caltech101_protocol.json").read_text())
    images = options.data / "images/caltech101"
    sizes = Counter({folder.name: sum(1 for _ in folder.iterdir()) for folder in images.iterdir()})
    searcher = Searcher.open(options.warehouse)
    print(f"{platform.machine()}, {os.cpu_count()} cores, {date.today()}; {sum(sizes.values()):,} photographs\n")
    print(f"| noun | photographs | lists, of {K} | cosine, of {K} | first that is none |\n|---|---|---|---|---|")
    tiles = []
    for kind in ("seen", "zero_shot"):
        nouns: dict[str, set[str]] = defaultdict(set)
        for folder, noun in protocol[kind].items():
            nouns[noun.replace("_", " ")].add(folder)
        right: dict[str, list[int]] = {"lists": [], "cosine": []}
        for noun in draw(nouns, sizes):
            answer = searcher.ask(noun, K)
            assert answer.exact, f"{noun}: not answered by its list"
            found = {"lists": [hit.uri for hit in answer.hits], "cosine": by_cosine(searcher, noun)}
            for way, uris in found.items():
                right[way].append(sum(folder_of(uri) in nouns[noun] for uri in uris))
            wrong = next((folder_of(uri) for uri in found["lists"] if folder_of(uri) not in nouns[noun]), "")
            n = sum(sizes[folder] for folder in nouns[noun])
            print(f"| {noun} ({kind}) | {n} | {right['lists'][-1]} | {right['cosine'][-1]} | {wrong} |", flush=True)
            tiles += [(uri, f"{noun}: {folder_of(uri)}") for uri in found["lists"][:ON_A_SHEET]]
        for way, hits in right.items():
            ((low, high),) = clustered(np.array(hits, float)[:, None], np.full(len(hits), K), seed=0)
            print(
                f"| **{kind}, {way}** | n = {len(hits)} nouns | {np.mean(hits) / K:.1%} ({low:.1%} to {high:.1%}) | "
                f"{sum(count == 0 for count in hits)} nouns without a hit | |"
            )
    print("\n| query | five best |\n|---|---|")
    for text in (*SUMS, f"{grammar.IMAGE}{images}/elephant/image_0002.jpg + water"):
        answer = searcher.ask(text, 5, picture=lambda uri: embed_picture(searcher, uri))
        shown = text if not text.startswith(grammar.IMAGE) else "image:elephant/image_0002.jpg + water"
        print(f"| {shown} ({answer.kind}) | {', '.join(folder_of(hit.uri) for hit in answer.hits)} |")
    if options.sheets:
        options.sheets.mkdir(parents=True, exist_ok=True)
        half = N_NOUNS * ON_A_SHEET
        for name, part in (("seen", tiles[:half]), ("zero-shot", tiles[half:])):
            told = [(storage.read_bytes(uri), text) for uri, text in part]
            contact_sheet(told, f"{name} nouns: the {ON_A_SHEET} best of each", str(options.sheets / f"{name}.png"))


if __name__ == "__main__":
    main()
