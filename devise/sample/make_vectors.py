"""Makes the shipped word vectors and noun hierarchy from the WordNet 3.0 files; run by hand, nothing imports it.

    apt-get install wordnet-base
    python -m devise.sample.make_vectors --dict /usr/share/wordnet --out devise/sample

It writes vectors.vec.gz (fastText text format) and nouns.tsv.gz (id, lexfile, members, hypernyms, definition) in a
minute. Each noun has one sense here: a drawn noun the one below its family, any other noun its first. A synset becomes
a few lines of text, shuffled: its members, its hypernym chain (the nearer, the more often) and the words of its
definition; skip-gram without subwords then puts nouns of one kind together. The mean vector is taken out before the
rows are scaled to unit length, since all nouns share much of their chains.
"""

import argparse
import random
import re
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from devise.facts.make_facts import STOP_WORDS, Synset, climb, read_senses, read_synsets, write_gz
from devise.sample.book import NOUNS

CONCRETE = {"animal", "artifact", "food", "object", "plant"}

ROOTS = {
    "animal": "00015388", "bird": "01503061", "fish": "02512053", "insect": "02159955", "fruit": "07705931",
    "plant": "00017222", "vehicle": "03100490", "aircraft": "02686568", "boat": "04530566", "building": "04341686",
    "tool": "04451818", "furniture": "03405725",
}  # fmt: skip
"""The synset below which a family's nouns have their sense: the first sense that lies there is taken."""

SENSES = {"van": "04520170", "castle": "02980441", "windmill": "04587559", "fruit": "13134947", "plant": "00017222"}
"""Where that rule is wrong: a van is no railway car here, a castle no palace; a windmill is a machine to it."""

ALSO = {"sail": "04127904"}
"""Nouns that the rule below leaves out, with their synset: docs/operations.md compares a ship with a sail. The row that
ships comes of a later run, turned onto the other rows by the nouns that both have (orthogonal Procrustes)."""

DIM, EPOCHS, N_COPIES, SEED = 100, 6, 6, 7
MIN_IN_GLOSSES, MIN_TAGGED = 4, 2
VAGUE_DEPTH = 4
"""Synsets with no more ancestors than this, themselves included, are too vague for a label (object, whole)."""


def choose(folder: Path, synsets: dict[str, Synset], senses: dict[str, list[str]]) -> dict[str, str]:
    """The nouns of the sample and the one synset of each: concrete, and common in WordNet's own text."""
    chosen = {}
    for noun, family in NOUNS.items():
        below = (s for s in senses[noun] if ROOTS[family] in climb(synsets, s))
        chosen[noun] = SENSES.get(noun) or next(below)
    for family in ROOTS:
        chosen[family] = SENSES.get(family) or senses[family][0]
    in_glosses, tagged = _word_counts(folder), _tag_counts(folder)
    for noun, offsets in senses.items():
        synset = synsets[offsets[0]]
        common = in_glosses[noun] >= MIN_IN_GLOSSES or tagged[noun, "1"] >= (1 if "_" in noun else MIN_TAGGED)
        is_noun = tagged[noun, "1"] >= max(tagged[noun, part] for part in "2345")
        concrete = synset.lexfile in CONCRETE and noun in synset.members
        specific = len(climb(synsets, offsets[0])) > VAGUE_DEPTH
        if common and is_noun and concrete and specific and re.fullmatch("[a-z][a-z_-]+", noun):
            chosen.setdefault(noun, offsets[0])
    return dict(sorted((chosen | ALSO).items()))


def _word_counts(folder: Path) -> Counter:
    """How often each word, and each pair of words joined by _, occurs in the definitions of all parts of speech."""
    counts = Counter()
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="latin-1").splitlines():
            words = re.findall("[a-z]+", line.partition(" | ")[2].lower())
            counts.update(words)
            counts.update(f"{first}_{second}" for first, second in zip(words, words[1:], strict=False))
    return counts


def _tag_counts(folder: Path) -> Counter:
    """How often each (word, part of speech) was tagged in WordNet's text; 1 is a noun."""
    counts = Counter()
    for line in (folder / "cntlist.rev").read_text().splitlines():
        key, _, count = line.split()
        word, _, rest = key.partition("%")
        counts[word, rest[0]] += int(count)
    return counts


def text_lines(synsets: dict[str, Synset], members: dict[str, list[str]]) -> list[str]:
    """The training text: every synset as `N_COPIES` lines in random order; hypernyms are written @offset."""
    order, lines = random.Random(SEED), []
    for offset, names in members.items():
        weighted = [
            f"@{at}"
            for at, hops in list(climb(synsets, offset).items())[:-4] or [(offset, 0)]
            for _ in range(max(1, 6 - 2 * hops))
        ]
        # Words of definitions are other tokens than the nouns: a spade is not to learn from the ace of spades.
        words = re.findall("[a-z]+", synsets[offset].definition.lower())
        words = [f":{word}" for word in words if word not in STOP_WORDS][:12]
        for _ in range(N_COPIES):
            # Few names a line, so that synonyms meet the chain rather than one another.
            line = order.sample(names, min(2, len(names))) * 3 + weighted + words
            order.shuffle(line)
            lines.append(" ".join(line))
    order.shuffle(lines)
    return lines


def train(lines: list[str], nouns: list[str]) -> np.ndarray:
    """Centred unit vectors of the nouns, float32 (V, D), in the order given."""
    import fasttext

    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "nouns.txt"
        text.write_text("\n".join(lines) + "\n")
        # No subwords: no kinship by spelling. The library fills a tenth of its first weights in each thread: with
        # fewer than ten, the rest is whatever lay in memory. Threads race, so two runs agree closely, not exactly.
        model = fasttext.train_unsupervised(
            str(text), model="skipgram", dim=DIM, epoch=EPOCHS, ws=8, minCount=1, minn=0, maxn=0, lr=0.05,
            t=0.002, thread=12, verbose=0,
        )  # fmt: skip
    vectors_VD = np.stack([model.get_word_vector(noun) for noun in nouns])
    vectors_VD -= vectors_VD.mean(axis=0)
    return vectors_VD / np.linalg.norm(vectors_VD, axis=1, keepdims=True)


def named_hypernyms(synsets: dict[str, Synset], members: dict[str, list[str]], offset: str) -> list[str]:
    """The synset's hypernyms; one that lost all its names gives way to its own hypernyms."""
    up = [[at] if members[at] else named_hypernyms(synsets, members, at) for at in synsets[offset].hypernyms]
    return list(dict.fromkeys(at for ats in up for at in ats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dict", type=Path, required=True, help="folder of WordNet 3.0's data.noun, index.noun, ...")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    synsets, senses = read_synsets(options.dict), read_senses(options.dict)
    chosen = choose(options.dict, synsets, senses)
    reached = sorted({at for offset in chosen.values() for at in climb(synsets, offset)})
    # A member whose own sense lies elsewhere is left out of this synset: a name means one thing in the sample.
    members = {at: [m for m in synsets[at].members if chosen.get(m.lower(), at) == at] for at in reached}
    rows = []
    for at, names in members.items():
        if names:
            up = "|".join(f"n{parent}" for parent in named_hypernyms(synsets, members, at))
            rows.append("\t".join([f"n{at}", synsets[at].lexfile, "|".join(names), up, synsets[at].definition]))
    write_gz(options.out / "nouns.tsv.gz", ["id\tlexfile\tmembers\thypernyms\tdefinition", *rows])
    vectors_VD = train(text_lines(synsets, members), list(chosen))
    body = [f"{noun} " + " ".join(f"{x:.3f}" for x in row) for noun, row in zip(chosen, vectors_VD, strict=True)]
    write_gz(options.out / "vectors.vec.gz", [f"{len(chosen)} {DIM}", *body])
    print(f"{len(chosen)} nouns, {len(rows)} synsets")


if __name__ == "__main__":
    main()
