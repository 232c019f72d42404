"""Opens a noun hierarchy, whatever published layout it has, and joins wnids to its synsets; knows no vectors, pictures.

Each layout has a reader of its own: `wordnet`, `openwordnet`, and the tables that are read here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from devise.errors import VocabularyError
from devise.words import openwordnet, parcels, wordnet
from devise.words.hierarchy import Hierarchy
from devise.words.nouns import fold, singulars
from devise.words.parcels import Parcel
from devise.words.texttables import Cell, read_table

COLUMNS = ("id", "members", "hypernyms", "definition")
HEADS_OF_WNIDS = ("wnid", "id", "synset")
WANTED = "wanted WordNet's data.noun, Open English WordNet as WN-LMF or JSON, or a table of synsets"


def read_hierarchy(path: str | Path) -> Hierarchy:
    """A hierarchy in any layout of docs/formats.md, told by its first bytes: a file, a folder, a .zip or a tar.

    WordNet's data.noun (with the index.noun beside it), Open English WordNet as WN-LMF XML or as JSON, or a table
    (`_read_table`). `format` of what is returned names the layout that was found.

    Raises:
        TableError: nothing is there, or nothing that can be read.
        VocabularyError: a layout's own faults; an archive without a hierarchy, or with several.
    """
    parcel = parcels.look(path)
    nouns = [piece for piece in parcel.pieces if wordnet.is_nouns(piece.head)]
    lexicons = [piece for piece in parcel.pieces if openwordnet.is_lmf(piece.head)]
    documents = [piece for piece in parcel.pieces if openwordnet.is_json(piece.head)]
    if len(nouns) + len(lexicons) + bool(documents) > 1:
        found = [piece.name.rsplit("/", 1)[-1] for piece in (*nouns, *lexicons, *documents[:1])]
        raise VocabularyError(f"{path}: holds {len(found)} hierarchies, {', '.join(found[:4])}; wanted one")
    if nouns:
        tree = wordnet.read(nouns[0], parcel.pieces if len(parcel.pieces) > 1 else _beside(Path(path)))
    elif lexicons:
        tree = openwordnet.read_lmf(lexicons[0])
    elif documents:
        tree = openwordnet.read_json(documents)
    else:
        _refuse_others(path, parcel)
        tree = _read_table(path)
    if not any(tree.members.values()):
        raise VocabularyError(f"{path}: none of its {len(tree.members)} synsets has a member, wanted words")
    tree.format += f", in {parcel.wrapping}" * bool(parcel.wrapping)
    return tree


def _beside(path: Path) -> list[parcels.Piece]:
    """The index that belongs to a data.noun, where it lies beside it."""
    index = path.with_name(path.name.replace("data", "index"))
    return parcels.look(index).pieces if index != path and index.is_file() else []


def _refuse_others(path: str | Path, parcel: Parcel) -> None:
    """`VocabularyError` for files that are not of nouns, and for what is no table."""
    if what := next((what for piece in parcel.pieces if (what := wordnet.looks_like(piece.head))), None):
        raise VocabularyError(f"{path}: found {what}; {WANTED}")
    starts = [piece.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] for piece in parcel.pieces]
    if parcel.is_archive:
        raise VocabularyError(f"{path}: found no hierarchy in {parcel.wrapping} of {parcel.names()}; {WANTED}")
    if starts in ([b"{"], [b"["], [b"<"]):
        raise VocabularyError(f"{path}: found {'XML' if starts == [b'<'] else 'JSON'} of another shape; {WANTED}")


def _read_table(path: str | Path) -> Hierarchy:
    """A hierarchy from a table, plain or .gz: tab-separated, CSV or Parquet, told by its first line or bytes.

    With a header that names id, members and hypernyms (each `a|b`) and definition: the whole hierarchy. Without, lines
    of `wnid<TAB>word, word`: synsets and their words only; a first line that is HEADS_OF_WNIDS is no synset.
    """
    header, rows = read_table(path)
    if "members" in header:
        if wrong := [column for column in COLUMNS if header.count(column) != 1]:
            raise VocabularyError(f"{path}: found columns {header}, no {wrong} or not once")
        at = [header.index(column) for column in COLUMNS]
        rows = [[row[column] for column in at] for row in rows]
        synsets, members, hypernyms, definitions = ([row[place] for row in rows] for place in range(4))
        _refuse_lists(path, "id", synsets)
        _refuse_lists(path, "definition", definitions)
        tree = Hierarchy(
            dict(zip(synsets, map(_parts, members), strict=True)),
            dict(zip(synsets, map(_parts, hypernyms), strict=True)),
            {synset: text or "" for synset, text in zip(synsets, definitions, strict=True)},
            format="a table of synsets",
        )
    elif len(header) == 2:
        if header[0].strip().lower() not in HEADS_OF_WNIDS:
            rows = [header, *rows]  # what looks like one is the first line
        synsets = [wnid for wnid, _ in rows]
        _refuse_lists(path, "wnid", synsets)
        tree = Hierarchy({wnid: split_names(words) for wnid, words in rows}, format="a table of wnids and words")
    else:
        raise VocabularyError(f"{path}, line 1: found {len(header)} columns, wanted a header, or 2: wnid and its words")
    if odd := [synset for synset, times in Counter(synsets).items() if not synset or times > 1]:
        raise VocabularyError(f"{path}: found the synsets {odd[:3]} without id or twice, wanted each once")
    return tree


def _refuse_lists(path: str | Path, column: str, cells: Sequence[Cell]) -> None:
    if lists := [cell for cell in cells if isinstance(cell, list)]:
        raise VocabularyError(f"{path}, column {column}: found the list {lists[0][:3]}, wanted texts")


def _parts(cell: Cell) -> list[str]:
    """The texts of `a|b`, or of a list."""
    return [text for text in (cell if isinstance(cell, list) else (cell or "").split("|")) if text.strip()]


def split_names(cell: Cell) -> list[str]:
    """The names of a comma-separated synonym list, or of a list."""
    return [name for part in (cell if isinstance(cell, list) else (cell or "").split(",")) if (name := part.strip())]


def join(wnids: Mapping[str, Sequence[str]], hierarchy: Hierarchy) -> dict[str, str]:
    """wnid -> synset of the hierarchy, by id where the hierarchy has the wnid, else by words and by order.

    A wnid is a place in a file of synsets, and so is an id of the hierarchy when it begins with 8 digits: both files
    have the same order. Of the synsets that share most of a class's words, the one is taken whose place is nearest to
    where the classes that match one synset fully say that it should be. That holds a bird from a machine of one name.

    Args:
        wnids: each with its names.

    Returns:
        only wnids that found a synset; none for a name of several synsets when there are no places to tell them apart.
    """
    found = {wnid: wnid for wnid in wnids if wnid in hierarchy.members}
    sharing: dict[str, list[str]] = {}
    places: dict[int, int] = {}
    for wnid, names in wnids.items():
        keys = {fold(form) for name in names for form in (name, *singulars(name))}
        shared = Counter(synset for key in sorted(keys) for synset in hierarchy.synsets(key))
        sharing[wnid] = [synset for synset, n_shared in shared.items() if n_shared == max(shared.values())]
        if len(sharing[wnid]) == 1 and keys >= {fold(word) for word in hierarchy.members[sharing[wnid][0]]}:
            at, place = _place(wnid), _place(sharing[wnid][0])
            if at is not None and place is not None:
                places[at] = place
    ordered = sorted(places)
    for wnid, synsets in sharing.items():
        if wnid in found or not synsets:
            continue
        at = _place(wnid)
        if len(synsets) == 1:
            found[wnid] = synsets[0]
        elif at is not None and len(ordered) > 1:
            wanted = np.interp(at, ordered, [places[place] for place in ordered])
            numbered = [synset for synset in synsets if _place(synset) is not None]
            if numbered:
                found[wnid] = min(numbered, key=lambda synset: abs(_place(synset) - wanted))
    return found


def _place(synset: str) -> int | None:
    """The offset in a synset's id: n02012849 and 02012849-n have one, added synsets (9...) and other ids none."""
    digits = synset.removeprefix("n")[:8]
    return int(digits) if len(digits) == 8 and digits.isdigit() and not digits.startswith("9") else None
