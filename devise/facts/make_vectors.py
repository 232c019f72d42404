"""Makes the shipped word vectors from the WordNet 3.0 files alone; run by hand, nothing of a run calls it.

    apt-get install wordnet-base; pip install scipy
    python -m devise.facts.make_vectors --dict /usr/share/wordnet --out devise/facts

A noun is counted, not trained: its row names its hypernyms (the nearer, the more), what it has or is part of, the words
of its definition and of its hypernyms', and the words of its members, each by how rare it is. The rows are made 300
dimensions by a truncated singular value decomposition. Then a general noun is moved towards the mean of all its kinds:
pictures of kinds are what a network has seen, and it puts them near the mean of their names.
It writes wordnet.vec.gz (fastText text format, whole numbers: rows are made unit by who reads them) in about a minute.

Shape letters: S synsets, F features, V nouns, D dims.
"""

import argparse
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from scipy import sparse

from devise.facts.make_facts import STOP_WORDS, Synset, climb, read_senses, read_synsets, write_gz

THINGS = {"animal", "artifact", "body", "food", "object", "plant"}
PICTURED = THINGS | {"group", "location", "person", "phenomenon", "shape", "substance"}
"""Lexfiles of nouns that a picture can show: all of theirs are taken; of a word's senses, things come first."""
TAXON = "07992450"
"""No picture shows a genus or a family: synsets below this one are left out, as are instances (proper names)."""
DIM, SEED, N_MORE, N_ROUNDS = 300, 0, 20, 2
DECAY, OF_PARTS, OF_DEFINITION, OF_ABOVE, OF_MEMBERS = 0.7, 0.1, 0.5, 0.25, 0.5
"""Weight of a hypernym a hop further up; of parts, of a definition's words, of a hypernym's definition, of members."""
RARITY = 1.5
"""Power of the logarithm of (synsets / synsets that have the feature)."""
SPREAD = 0.5
"""Power of the singular values: less than 1 lets the small ones, which tell kindred nouns apart, count for more."""
OF_KINDS = 2.0
"""How far a noun moves towards the mean of its kinds."""
STEPS = 3.0
"""Whole numbers a standard deviation: half as many cost 1 MB less and 0 to 2 points of hit@5."""


def read_counts(folder: Path) -> Counter:
    """How often each (noun, number of its sense) was tagged in WordNet's texts, by cntlist.rev."""
    counts = Counter()
    for line in (folder / "cntlist.rev").read_text().splitlines():
        key, sense, count = line.split()
        word, _, rest = key.partition("%")
        if rest.startswith("1"):  # a noun
            counts[word, int(sense)] += int(count)
    return counts


def choose(
    synsets: dict[str, Synset], senses: dict[str, list[str]], counts: Counter, above: dict[str, dict[str, int]]
) -> dict[str, str]:
    """Synset -> its one noun: of synonyms one is enough, the others are found through the hierarchy.

    Words ask their senses in turn, things first, then what else a picture can show; a synset takes the first of its
    members that asks, in WordNet's order, and who is turned away asks the next (Gale and Shapley 1962), but for words
    whose sense was tagged in WordNet's texts: a plane is an airplane and no tool. Of what no picture can show, only a
    word's first sense is taken, and only if it was tagged.
    """
    asks, turn, taken = {}, Counter(), {}
    for word, offsets in senses.items():
        named = [at for at in offsets if not synsets[at].is_instance and TAXON not in above[at]]
        shown = [at for at in named if synsets[at].lexfile in THINGS]
        shown += [at for at in named if synsets[at].lexfile in PICTURED - THINGS]
        asks[word] = shown or [at for at in named[:1] if counts[word, offsets.index(at) + 1]]
    members = {at: [member.lower() for member in synset.members] for at, synset in synsets.items()}
    waiting = list(asks)
    while waiting:
        word = waiting.pop()
        if turn[word] == len(asks[word]):
            continue
        at = asks[word][turn[word]]
        turn[word] += 1
        before = taken.get(at)
        if before is None or members[at].index(word) < members[at].index(before):
            taken[at], word = word, before
        if word is not None and not counts[word, senses[word].index(asks[word][turn[word] - 1]) + 1]:
            waiting.append(word)
    nouns = {at: synsets[at].members[members[at].index(taken[at])] for at in synsets if at in taken}
    return dict(sorted(nouns.items(), key=lambda pair: synsets[pair[0]].lexfile not in PICTURED))


def words_of(text: str) -> list[str]:
    """Words that say something, in order, a plural's s cut off."""
    words = [word for word in re.findall("[a-z]+", text.lower()) if word not in STOP_WORDS and len(word) > 1]
    return [word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word for word in words]


def count(synsets: dict[str, Synset], above: dict[str, dict[str, int]]) -> sparse.csr_matrix:
    """float32 (S, F), unit rows: what WordNet says of each synset."""
    said = {at: sorted(set(words_of(synset.definition))) for at, synset in synsets.items()}
    columns: dict[tuple[str, str], int] = {}
    rows, places, weights = [], [], []
    for row, (at, synset) in enumerate(synsets.items()):
        features = defaultdict(float)
        for other, hops in above[at].items():
            features["synset", other] += DECAY**hops
        for other in synset.parts:
            features["synset", other] += OF_PARTS
        for word in said[at]:
            features["word", word] += OF_DEFINITION
        for word in (word for parent in synset.hypernyms for word in said[parent]):
            features["word", word] += OF_ABOVE
        members = [words for member in synset.members if (words := words_of(member))]
        for word in sorted({word for words in members for word in words}):
            features["word", word] += OF_MEMBERS
        for word in sorted({words[-1] for words in members}):  # a hunting dog is a dog
            features["head", word] += OF_MEMBERS
        for feature, weight in features.items():
            rows.append(row)
            places.append(columns.setdefault(feature, len(columns)))
            weights.append(weight)
    counted_SF = sparse.csr_matrix((weights, (rows, places)), shape=(len(synsets), len(columns)), dtype=np.float32)
    n_F = np.bincount(counted_SF.indices, minlength=len(columns))
    rarity_F = np.log(len(synsets) / n_F) ** RARITY
    weighted_SF = (counted_SF @ sparse.diags(rarity_F.astype(np.float32)))[:, np.flatnonzero(n_F > 1)]
    length_S = np.sqrt(np.asarray(weighted_SF.multiply(weighted_SF).sum(axis=1)).ravel())
    return (sparse.diags(1 / np.maximum(length_S, 1e-9)) @ weighted_SF).tocsr().astype(np.float32)


def reduce(counted_VF: sparse.csr_matrix) -> np.ndarray:
    """float32 (V, D), unit rows: a randomised singular value decomposition (Halko, Martinsson, Tropp 2011, 4.4)."""
    random = np.random.default_rng(SEED)
    transposed_FV = counted_VF.T.tocsr()
    start_FD = random.standard_normal((counted_VF.shape[1], DIM + N_MORE)).astype(np.float32)
    basis_VD = np.linalg.qr(counted_VF @ start_FD)[0]
    for _ in range(N_ROUNDS):
        basis_VD = np.linalg.qr(counted_VF @ (transposed_FV @ basis_VD))[0]
    image_FD = transposed_FV @ basis_VD
    squared_D, turn_DD = np.linalg.eigh((image_FD.T @ image_FD).astype(np.float64))
    largest = np.argsort(squared_D)[::-1][:DIM]
    return unit(basis_VD @ turn_DD[:, largest] * np.sqrt(squared_D[largest]) ** SPREAD)


def lean_on_kinds(vectors_VD: np.ndarray, chosen: list[str], above: dict[str, dict[str, int]]) -> np.ndarray:
    """Unit rows, each moved towards the mean of all chosen synsets at or below it."""
    row_of = {at: row for row, at in enumerate(chosen)}
    pairs = [(row_of[up], row) for row, at in enumerate(chosen) for up in above[at] if up in row_of]
    below_VV = sparse.csr_matrix((np.ones(len(pairs), np.float32), tuple(zip(*pairs, strict=True))))
    return unit(vectors_VD + OF_KINDS * unit(below_VV @ vectors_VD))


def unit(rows_ND: np.ndarray) -> np.ndarray:
    return (rows_ND / np.maximum(np.linalg.norm(rows_ND, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dict", type=Path, required=True, help="folder of WordNet 3.0's data.noun, index.noun, ...")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    synsets = read_synsets(options.dict)
    above = {at: climb(synsets, at) for at in synsets}
    nouns = choose(synsets, read_senses(options.dict), read_counts(options.dict), above)
    row_of = {at: row for row, at in enumerate(synsets)}
    counted_VF = count(synsets, above)[[row_of[at] for at in nouns]]
    used_F = np.flatnonzero(np.bincount(counted_VF.indices, minlength=counted_VF.shape[1]) > 1)
    vectors_VD = lean_on_kinds(reduce(counted_VF[:, used_F]), list(nouns), above)
    whole_VD = np.rint(vectors_VD * (STEPS / vectors_VD.std())).astype(int)
    body = [f"{noun} " + " ".join(map(str, row)) for noun, row in zip(nouns.values(), whole_VD, strict=True)]
    write_gz(options.out / "wordnet.vec.gz", [f"{len(nouns)} {DIM}", *body])
    print(f"{len(nouns)} nouns, {DIM} dimensions")


if __name__ == "__main__":
    main()
