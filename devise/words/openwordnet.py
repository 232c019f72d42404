"""Reads Open English WordNet as it is released: WN-LMF XML, and JSON in one file a topic; opens no files itself.

Layouts: https://globalwordnet.github.io/schemas/ (WN-LMF 1.0 to 1.4; other wordnets are published in it too), and
https://github.com/globalwordnet/english-wordnet, whose JSON release has `noun.*.json`, synset id -> {definition,
hypernym, members, partOfSpeech, ..}, and `entries-*.json`, lemma -> {n: {sense: [{synset, ..}]}}.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree

from devise.errors import VocabularyError
from devise.words.hierarchy import Hierarchy
from devise.words.nouns import fold
from devise.words.parcels import Piece

HYPERNYMS = ("hypernym", "instance_hypernym")


def is_lmf(head: bytes) -> bool:
    """Whether a file that begins so is a wordnet in WN-LMF."""
    return b"<LexicalResource" in head and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def is_json(head: bytes) -> bool:
    """Whether a file that begins so is one of the synsets, or of the entries, of the JSON release."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"{") and (b'"partOfSpeech"' in head or b'"sense"' in head)


def read_lmf(piece: Piece) -> Hierarchy:
    """The nouns of a file in WN-LMF, which is streamed: 90 MB of XML are never in memory at once.

    Ids are the file's without the lexicon's own in front, so that oewn-02086723-n is 02086723-n as in the JSON release.

    Raises:
        TableError: it cannot be read.
        VocabularyError: it is no XML or ends early, holds several lexicons or no nouns, or a synset twice.
    """
    with piece.open() as stream:
        try:
            return _Lexicon(piece.name).read(ElementTree.iterparse(stream, events=("start", "end")))
        except ElementTree.ParseError as error:
            raise VocabularyError(f"{piece.name}: no whole XML: {error}") from None


class _Lexicon:
    """What was met so far of a lexicon: its nouns' entries come first, then its synsets."""

    def __init__(self, name: str):
        self.name, self.title, self.prefix = name, "", None
        self.lemmas: dict[str, str] = {}
        self.senses: dict[str, list[tuple[int, str]]] = {}
        self.words: dict[str, list[str]] = {}
        self.members: dict[str, list[str]] = {}
        self.hypernyms: dict[str, list[str]] = {}
        self.definitions: dict[str, str] = {}

    def read(self, events: Iterable[tuple[str, Any]]) -> Hierarchy:
        lexicon = None
        for event, element in events:
            if event == "start":
                if element.tag == "Lexicon":
                    lexicon = self._begin(element)
            elif lexicon is not None and element.tag == "LexicalEntry":
                self._add_entry(element)
                lexicon.clear()
            elif lexicon is not None and element.tag == "Synset":
                self._add_synset(element)
                lexicon.clear()
        if not self.members:
            raise VocabularyError(f"{self.name}: found no synset of a noun, wanted a lexicon with some")
        senses = {word: [synset for _, synset in sorted(found)] for word, found in self.senses.items() if found[1:]}
        return Hierarchy(self.members, self.hypernyms, self.definitions, senses, f"{self.title}, WN-LMF XML")

    def _begin(self, element: ElementTree.Element) -> ElementTree.Element:
        if self.prefix is not None:
            raise VocabularyError(f"{self.name}: found a second lexicon, {element.get('id')}, wanted one in the file")
        self.prefix = f"{element.get('id')}-"
        self.title = f"{element.get('label', element.get('id'))} {element.get('version', '')}".strip()
        return element

    def _add_entry(self, entry: ElementTree.Element) -> None:
        lemma = entry.find("Lemma")
        if lemma is None or lemma.get("partOfSpeech") != "n":
            return
        word = lemma.get("writtenForm", "")
        self.lemmas[entry.get("id", "")] = word
        for place, sense in enumerate(entry.iter("Sense")):
            synset = self._id(sense.get("synset", ""))
            self.lemmas[sense.get("id", "")] = word
            self.words.setdefault(synset, []).append(word)
            number = sense.get("n", "")
            self.senses.setdefault(fold(word), []).append((int(number) if number.isdigit() else place, synset))

    def _add_synset(self, element: ElementTree.Element) -> None:
        if element.get("partOfSpeech") != "n":
            return
        synset = self._id(element.get("id", ""))
        if not synset or synset in self.members:
            raise VocabularyError(f"{self.name}: found the synset {synset!r} without id or twice, wanted each once")
        # `members` has the order of words; it names entries in some releases, senses in others, and 1.0 has none.
        named = element.get("members", "").split()
        if unknown := [one for one in named if one not in self.lemmas]:
            raise VocabularyError(f"{self.name}: synset {synset} has the members {unknown[:3]}, which are no entries")
        self.members[synset] = [self.lemmas[one] for one in named] or self.words.get(synset, [])
        relations = element.iter("SynsetRelation")
        self.hypernyms[synset] = [
            self._id(one.get("target", "")) for one in relations if one.get("relType") in HYPERNYMS
        ]
        self.definitions[synset] = _joined(one.text or "" for one in element.iter("Definition"))

    def _id(self, text: str) -> str:
        return text.removeprefix(self.prefix)


def read_json(pieces: Sequence[Piece]) -> Hierarchy:
    """The nouns of the JSON release, or of some of its files; the order of senses where its entries are among them.

    Raises:
        TableError: a file that cannot be read.
        VocabularyError: a file that is no JSON or of another shape, a synset twice, or no nouns.
    """
    members: dict[str, list[str]] = {}
    hypernyms: dict[str, list[str]] = {}
    definitions: dict[str, str] = {}
    senses: dict[str, list[str]] = {}
    for piece in pieces:
        for key, value in _objects(piece):
            try:
                if "partOfSpeech" not in value:
                    _add_senses(senses, key, value)
                elif value["partOfSpeech"] == "n":
                    if key in members:
                        raise VocabularyError(f"{piece.name}: found the synset {key} twice, wanted each once")
                    members[key] = _texts(value["members"])
                    hypernyms[key] = [one for relation in HYPERNYMS for one in _texts(value.get(relation, []))]
                    definitions[key] = _joined(_texts(value.get("definition", [])))
            except (KeyError, TypeError, AttributeError) as error:
                raise VocabularyError(
                    f"{piece.name}: {key!r} is neither a synset nor an entry of Open English WordNet: {error!r}"
                ) from None
    if not members:
        raise VocabularyError(
            f"{pieces[0].name}: found no synset of a noun in {len(pieces)} files of JSON, wanted some"
        )
    return Hierarchy(members, hypernyms, definitions, senses, f"Open English WordNet, JSON in {len(pieces)} files")


def _objects(piece: Piece) -> list[tuple[str, Any]]:
    """The keys and values of a JSON object, whose keys each stand once."""
    try:
        document = json.loads(piece.read_text(), object_pairs_hook=lambda pairs: _once(pairs, piece.name))
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"{piece.name}: no whole JSON: {error}") from None
    return list(document.items())


def _once(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise VocabularyError(f"{name}: found {twice!r} twice in an object, wanted each once")
    return found


def _add_senses(senses: dict[str, list[str]], lemma: str, value: dict[str, Any]) -> None:
    """The entry of a lemma: its homographs are `n`, or `n-1`, `n-2`."""
    for kind, entry in value.items():
        if kind.split("-")[0] == "n":
            senses.setdefault(fold(lemma), []).extend(sense["synset"] for sense in entry["sense"])


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"found {value!r}"[:60])
    return value


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(" ".join(text.split()) for text in texts)
