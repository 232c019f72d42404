"""Makes the shipped noun hierarchy and class table from the WordNet 3.0 files; run by hand, nothing of a run calls it.

    apt-get install wordnet-base
    python -m devise.facts.make_facts --dict /usr/share/wordnet --classes imagenet_class_index.json --out devise/facts

wordnet.tsv.gz has a line a noun synset: id (n and its offset in data.noun, which is its wnid), lexfile, members,
hypernyms (those of instances too) and definition, in the order of data.noun. imagenet1k.tsv.gz has a line a class of
ILSVRC 2012: index, wnid, name and synonyms. Which synsets the classes are comes from any list that names a wnid a class
in order of index; their words come from WordNet. The files' layout is WordNet's manual page wndb(5).
"""

import argparse
import gzip
import re
from pathlib import Path
from typing import NamedTuple

LEXFILES = (
    *("Tops", "act", "animal", "artifact", "attribute", "body", "cognition", "communication", "event", "feeling"),
    *("food", "group", "location", "motive", "object", "person", "phenomenon", "plant", "possession", "process"),
    *("quantity", "relation", "shape", "state", "substance", "time"),
)
"""The lexicographer files of nouns, from number 3 on (lexnames(5))."""
N_CLASSES = 1000
STOP_WORDS = set(
    re.findall(
        "[a-z]+",
        """a an the of or and in to for with by that is are as on from having used which its it be at not usually
        especially any various one two three who can has other than more most very often some something such into made
        being but also when where their they you he his was out up no kind type small large long short many either
        between so etc while over if may about all only same several genus family each""",
    )
)
"""Words of definitions that tell no noun from another."""


class Synset(NamedTuple):
    """A noun synset; other synsets by offset.

    Attributes:
        members: words, `_` for a space, as they are written.
        hypernyms: directly above, an instance's too. is_instance: whether one of them is of that kind.
        parts: what it has, and what it is part or member of.
    """

    lexfile: str
    members: list[str]
    hypernyms: list[str]
    is_instance: bool
    parts: list[str]
    definition: str


def read_synsets(folder: Path) -> dict[str, Synset]:
    """All noun synsets of data.noun by offset (8 digits), in the file's order."""
    synsets = {}
    for line in (folder / "data.noun").read_text(encoding="latin-1").splitlines():
        if line.startswith(" "):  # the licence
            continue
        record, _, gloss = line.partition(" | ")
        fields = record.split()
        n_members = int(fields[3], 16)
        n_pointers, pointers = int(fields[4 + 2 * n_members]), fields[5 + 2 * n_members :]
        kinds = [(pointers[4 * i], pointers[4 * i + 1]) for i in range(n_pointers)]
        synsets[fields[0]] = Synset(
            LEXFILES[int(fields[1]) - 3],
            fields[4 : 4 + 2 * n_members : 2],
            [offset for kind, offset in kinds if kind in ("@", "@i")],
            any(kind == "@i" for kind, _ in kinds),
            [offset for kind, offset in kinds if kind[0] in "#%"],
            re.split(r';\s*"', gloss.strip())[0],
        )
    return synsets


def read_senses(folder: Path) -> dict[str, list[str]]:
    """Each lower-case noun's synsets by index.noun, the most frequent sense first."""
    rows = (line.split() for line in (folder / "index.noun").read_text().splitlines() if not line.startswith(" "))
    return {row[0]: row[-int(row[2]) :] for row in rows}


def climb(synsets: dict[str, Synset], offset: str) -> dict[str, int]:
    """The synset and all its hypernyms, each with its fewest hops, nearest first."""
    hops, queue = {offset: 0}, [offset]
    for child in queue:
        for parent in synsets[child].hypernyms:
            if parent not in hops:
                hops[parent] = hops[child] + 1
                queue.append(parent)
    return hops


def read_wnids(path: Path) -> list[str]:
    """The wnids of a class list in its order: whatever else a line, or a JSON of one line, says of each."""
    wnids = re.findall(r"n\d{8}", path.read_text(encoding="utf-8"))
    if len(wnids) != N_CLASSES or len(set(wnids)) != N_CLASSES:
        raise SystemExit(f"{path}: found {len(set(wnids))} wnids in {len(wnids)} places, wanted {N_CLASSES}, each once")
    return wnids


def readable(member: str) -> str:
    return member.replace("_", " ")


def hierarchy_lines(synsets: dict[str, Synset]) -> list[str]:
    lines = ["id\tlexfile\tmembers\thypernyms\tdefinition"]
    for offset, synset in synsets.items():
        members = "|".join(map(readable, synset.members))
        above = "|".join(f"n{parent}" for parent in synset.hypernyms)
        lines.append(f"n{offset}\t{synset.lexfile}\t{members}\t{above}\t{synset.definition}")
    return lines


def class_lines(synsets: dict[str, Synset], wnids: list[str]) -> list[str]:
    lines = ["index\twnid\tname\tsynonyms"]
    for index, wnid in enumerate(wnids):
        names = list(map(readable, synsets[wnid[1:]].members))
        lines.append(f"{index}\t{wnid}\t{names[0]}\t{', '.join(names)}")
    return lines


def write_gz(path: Path, lines: list[str]) -> None:
    """Lines as gzip without a date, so that the same text gives the same bytes."""
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dict", type=Path, required=True, help="folder of WordNet 3.0's data.noun")
    parser.add_argument("--classes", type=Path, required=True, help="a published list of the 1,000 classes with wnids")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    synsets = read_synsets(options.dict)
    write_gz(options.out / "wordnet.tsv.gz", hierarchy_lines(synsets))
    write_gz(options.out / "imagenet1k.tsv.gz", class_lines(synsets, read_wnids(options.classes)))
    print(f"{len(synsets)} synsets, {N_CLASSES} classes")


if __name__ == "__main__":
    main()
