"""Makes the shipped list of labels that are never told of a picture, from WordNet 3.0; run by hand.

    apt-get install wordnet-base
    python -m devise.facts.make_denied --dict /usr/share/wordnet --out devise/facts

What is on it, by principle: words that WordNet itself calls slurs, disparaging or obscene, and nouns for people that no
picture can show to be true of them: character and crime, ability, health, sex life, origin and belief, want, and who
they are. Photographs of people got such labels in ImageNet's person subtree, by people who looked at them (Crawford and
Paglen, Excavating AI, 2019; Yang et al., Towards fairer datasets, FAT* 2020). Roles that clothes and tools tell of
(nurse, goalkeeper, monk) stay, and so do woman, man and child.

denied.tsv.gz has a line an entry: a word or a synset, the reason, and of a synset its members (`words/denied.py`).
"""

import argparse
import re
from collections import defaultdict
from pathlib import Path

from devise.facts.make_facts import Synset, climb, read_senses, read_synsets, readable, write_gz

SLURS = ("06718862 ethnic_slur", "06717170 disparagement")
OBSCENITIES = ("07124340 obscenity",)
"""The synsets of usage that data.noun points to with `;u`."""
SLUR_GLOSS = r"\b(offensive|derogatory|disparaging|pejorative|insulting|contemptuous)\b"
OBSCENE_GLOSS = r"\b(obscene|vulgar)\b"
OF_WORDS = r"[^;]*\b(term|name|word|slang|expression)s? (of|for|used)\b"
ROOTS = {
    "character or crime": """
        09831962 bad_person, 09631129 unwelcome_person, 10231087 killer, 10036266 drug_user, 10037385 drunkard,
        09782167 alcoholic, 10034201 drinker, 10681383 suspect, 09762101 defendant, 10485440 prostitute, 09853645
        bigot, 10678662 supremacist, 10077879 fanatic, 10206173 informer, 10684827 sycophant, 10098092 flunky,
        10139347 gossip, 10617193 snoop, 10200047 imp, 10132988 glutton, 10284965 malcontent, 10162194 hater, 10735564
        tyrant, 10771990 weasel, 10341955 mutilator, 09997212 debaser, 10702615 terror, 09756961 abomination, 10271525
        loose_cannon, 10554455 scab, 09906449 chameleon, 09810364 arrogator, 09921673 chutzpanik, 10023039 dog,
        10385707 ostrich, 10136283 gold_digger, 10222170 jezebel, 10222259 jilt, 09832456 baggage, 09834258
        ball-buster, 09844356 battle-ax, 10702781 terrorist, 10635460 spendthrift, 09879144 bull, 10118301 galoot,
        10476086 prisoner, 09963159 convict, 09761068 accomplice, 09778392 agent_provocateur, 09829798 bacchant,
        09858560 black_marketeer, 09892410 capo, 09912681 cheapskate, 10025295 don, 10036135 drug_baron, 10135953
        goldbrick, 10174971 high-muck-a-muck, 10197967 idler, 10220360 jaywalker, 10273438 underboss, 10279669 madam,
        10320612 minion, 10322084 miser, 10357737 niggard, 10374282 ogler, 10414084 penny_pincher, 10444058 poacher,
        10455094 pornographer, 10557246 schlockmeister, 10609960 slave_driver, 10682038 swaggerer, 10721470 dealer,
        10735298 tyrant, 10740732 upstager, 10761326 voyeur, 10779995 whoremaster, 09999532 defaulter""",
    "ability or worth": """
        10599354 simpleton, 10198958 ignoramus, 10202363 incompetent, 09606527 anomaly, 09614047 coward, 10771636
        weakling, 10502046 quitter, 09931267 clumsy_person, 09627462 primitive, 09923418 cipher, 10804102 yokel,
        10052843 emotional_person, 10709256 third-rater, 10569179 second-rater, 10361060 nondescript, 10335563 mouse,
        10353598 nerd, 10684630 swot, 10423031 philistine, 10513938 redneck, 10272782 loser, 10272913 loser, 09871867
        boy_scout, 09911570 chatterer, 09973490 coxcomb, 10023656 dogmatist, 10062042 epigone, 10178821 hobbledehoy,
        10333439 mother's_boy, 10344121 naif, 10361901 nonreader, 10528493 rhymer, 10544232 rustic, 10000616 delayer,
        09991026 dandy, 10123615 geek, 09861599 bluestocking, 09919451 chit""",
    "body or health": """
        09630641 unfortunate, 10158756 handicapped_person, 09898892 case, 10757625 visually_impaired_person, 09996481
        deaf_person, 09610255 color-blind_person, 10040617 dyslectic, 09817536 asthmatic, 09978889 cripple, 10192412
        humpback, 10613505 small_person, 10247044 large_person, 10708797 thin_person, 09950457 compulsive, 10155485
        hag, 10066452 eunuch, 10144838 gravida, 10366145 nullipara, 10491998 pudge, 09850457 bereaved, 09833896
        baldhead, 10643727 squinter, 10656488 stigmatic, 09994943 dead_person""",
    "sex life or looks": """
        09629246 sensualist, 10182913 homosexual, 10173895 heterosexual, 09845401 beard, 10440580 player, 10432053
        pickup, 10024784 dominatrix, 10725734 transsexual, 10726031 transvestite, 10396462 pansexual, 10755257 virgin,
        10299700 masturbator, 10584853 sex_object, 10585077 sex_symbol, 10236842 kink, 10323634 mistress, 10323752
        mistress, 10636488 spinster, 10075063 eyeful, 10613996 smasher, 10584729 sex_kitten, 10270383 Lolita, 10368624
        nymphet, 09852430 B-girl, 10403366 party_girl, 10665587 stud, 10192839 hunk, 10015792 dirty_old_man, 10621140
        sod, 10452752 ponce, 10123711 geezer, 09933842 codger, 09854708 bimbo, 09875663 broad, 10730820 trophy_wife,
        09965134 coquette, 10055410 enchantress, 10603378 sissy, 09900873 catamite, 10715030 tomboy, 09982152
        cuckold""",
    "origin": """
        09636106 person_of_color, 09638875 White, 09644820 Amerindian, 09634494 African, 09620078 inhabitant, 09620794
        native, 09625401 national, 09681351 Jew, 09676884 Slav, 09881613 Bushman, 10404550 passer, 10311661 mestiza,
        10065547 ethnic, 10323999 mixed-blood, 10311823 mestizo, 10247880 Latin, 10219879 Jat, 10154186 Gypsy,
        10199489 immigrant, 10516016 refugee, 10103485 foreigner, 10071332 exile, 10157549 half-breed, 10157378
        half-caste, 10643476 squaw_man""",
    "belief": """
        09628382 religious_person, 09625789 nonreligious_person, 09679170 gentile, 09779124 agnostic, 10503452
        radical, 10618848 socialist, 09957156 conservative, 10256756 liberal, 10257084 liberal, 09796974
        anti-American, 10084635 feminist, 10316013 militarist, 10390199 pacifist, 10346015 nationalist, 10002031
        democrat, 10522495 republican, 10002151 Democrat, 10522633 Republican, 09945603 Communist, 10018021
        dissenter""",
    "want or bondage": """
        10609325 slave, 10580535 serf, 10386515 outcaste, 10361525 nonperson, 10576223 segregate, 09842823 bastard,
        10744544 vagrant, 10741367 urchin, 10763075 waif, 09962414 convert, 10384496 orphan, 10384392 orphan, 10752480
        victim, 10752093 victim""",
}
"""Reason -> the synsets that are denied with all that is below them: offset and a member, which must agree."""
SPARED = """
    10518602 religious, 10519494 religious_leader, 10323182 missionary, 10432532 pilgrim, 10006337 dervish,
    10152616 guru"""
"""Synsets below those that are told by what people wear or do."""
PERSON = "00007846"
ALWAYS = """
    blackamoor, butch, chink, coon, cretin, dago, dick, dyke, fag, faggot, fagot, gook, injun, kaffir, mongoloid,
    mulatto, negress, negro, negroid, octoroon, poof, prick, quadroon, queer, red indian, retard, shemale, squaw,
    tranny, twat, whore, slut"""
"""Words that are slurs or obscene though WordNet does not say so, or has another sense of them first."""
THINGS = {"animal", "artifact", "body", "food", "object", "plant", "substance", "location", "group", "cognition"}
"""A slur that is also a word for one of these is denied by its synset only: `cock`, `queen`, `spade`, `bull`."""


def synsets_named(text: str, synsets: dict[str, Synset]) -> list[str]:
    """The offsets of a list `offset member, offset member`.

    Raises:
        SystemExit: a synset of that offset has no such member.
    """
    pairs = [pair.split() for pair in " ".join(text.split()).split(", ")]
    for offset, member in pairs:
        if offset not in synsets or member not in synsets[offset].members:
            raise SystemExit(f"found no synset {offset} with the member {member}, wanted those of WordNet 3.0")
    return [offset for offset, _ in pairs]


def usages(folder: Path) -> dict[str, set[str]]:
    """The synsets of usage (slang, ethnic slur ...) that whole noun synsets point to, by offset."""
    lines = (folder / "data.noun").read_text(encoding="latin-1").splitlines()
    return {line[:8]: found for line in lines if (found := set(re.findall(r" ;u (\d{8}) n 0000 ", line)))}


def deny(synsets: dict[str, Synset], used: dict[str, set[str]]) -> dict[str, str]:
    """Offset -> reason of every synset that is denied, in the file's order; the first reason that fits."""
    roots = {offset: why for why, text in ROOTS.items() for offset in synsets_named(text, synsets)}
    spared = set(synsets_named(SPARED, synsets))
    slurs, obscenities = ({pair.split()[0] for pair in pairs} for pairs in (SLURS, OBSCENITIES))
    found = {}
    for offset, synset in synsets.items():
        above = climb(synsets, offset)
        if used.get(offset, set()) & slurs or re.search(SLUR_GLOSS + OF_WORDS, synset.definition):
            found[offset] = "slur"
        elif used.get(offset, set()) & obscenities or re.search(OBSCENE_GLOSS + OF_WORDS, synset.definition):
            found[offset] = "obscene"
        elif synset.is_instance and PERSON in above:
            found[offset] = "a person by name"
        elif not spared & above.keys() and (hit := next((roots[up] for up in above if up in roots), None)):
            found[offset] = hit
    return found


def words_denied(synsets: dict[str, Synset], senses: dict[str, list[str]], denied: dict[str, str]) -> dict[str, str]:
    """Lower-case word -> reason, of the words that are denied in any sense.

    Those with no sense that is not denied; slurs and obscene words if that is their first sense and none is a thing;
    and ALWAYS.
    """
    found = {}
    for word, own in senses.items():
        reasons = [denied.get(offset) for offset in own]
        harsh = reasons[0] in ("slur", "obscene")
        things = any(synsets[offset].lexfile in THINGS and offset not in denied for offset in own)
        if all(reasons) or (harsh and not things):
            found[word] = reasons[0]
    return found | {word.replace(" ", "_"): "slur" for word in re.split(r",\s+", ALWAYS.strip())}


def lines_of(synsets: dict[str, Synset], denied: dict[str, str], words: dict[str, str]) -> list[str]:
    """The entries: words by reason and spelling, then synsets in the file's order."""
    by_reason = defaultdict(list)
    for word, reason in words.items():
        by_reason[reason].append(readable(word))
    return [
        "entry\treason\tmembers",
        *(f"{word}\t{reason}\t" for reason in sorted(by_reason) for word in sorted(by_reason[reason])),
        *(
            f"n{offset}\t{reason}\t{'|'.join(map(readable, synsets[offset].members))}"
            for offset, reason in denied.items()
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dict", type=Path, required=True, help="folder of WordNet 3.0's data.noun and index.noun")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    synsets = read_synsets(options.dict)
    denied = deny(synsets, usages(options.dict))
    words = words_denied(synsets, read_senses(options.dict), denied)
    write_gz(options.out / "denied.tsv.gz", lines_of(synsets, denied, words))
    for reason in sorted({*denied.values(), *words.values()}):
        counts = [sum(why == reason for why in found.values()) for found in (denied, words)]
        print(f"{reason}: {counts[0]} synsets, {counts[1]} words")


if __name__ == "__main__":
    main()
