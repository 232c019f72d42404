"""The model card says what it was given and no more; a page of confusions shows each pair."""

import dataclasses
import re

import pytest
from PIL import Image

from devise.show import confusions, modelcard
from devise.show.modelcard import Facts, Figure, Label, Split
from devise.store import storage

FACTS = Facts(
    run="2026-11-23",
    model_id="m" * 16,
    vocabulary_id="v" * 16,
    model_run="r1",
    vocabulary_run="r0",
    model={"architecture": "small_cnn", "weights": None, "projection": "convex", "loss": "none", "held_out": ["ferry"]},
    vocabulary={"vectors": "words.vec"},
    n_labels=1234,
    n_seen_labels=3,
    n_learned=3,
    imagenet_classes=0,
    n_people=None,
    splits=[Split("dr|awn", "s3://b/x_y", "folders", "given", 4, 1600, 40)],
    pairs=[],
    figures=[
        Figure("hit", "dr|awn", 1, 0.25, 0.1, 0.4, 1600),
        Figure("hit_chance", "dr|awn", 1, 0.25, 0.25, 0.25, 1600),
        Figure("recall", "word", 10, 0.98, 0.9, 1.0, 200),
    ],
    correct_sets={"dr|awn": {"1": 1.5}},
    labels=[
        Label("dr|awn", "lion", "n1", "seen", 10, 0.1, 0.5, "wildcat", 7),
        Label("dr|awn", "tulip", None, None, 10, 0.9, 1.0, None, 0),
        Label("dr|awn", "castle", None, None, 4, 0.0, 0.0, "ferry", 4),
    ],
)


def test_the_card_has_the_figures_with_n_and_interval():
    text = modelcard.write(FACTS)
    assert "| hit@k | 25.0 \\[10.0, 40.0\\] | 1,600 |" in text
    assert "| blind choice, exactly | 25.00 | 1,600 |" in text  # exact: without an interval
    assert "| word | @10 | 98.0 \\[90.0, 100.0\\] | 200 |" in text
    assert "mean: 1.5 at 1." in text and "| kept from training | 1 nouns |" in text


def test_the_weakest_labels_are_those_with_images_enough_to_say_so():
    text = modelcard.write(FACTS)
    lion, tulip = text.index("| lion | seen | 10 | 10.0% | 50.0% | wildcat (7) |"), text.index("| tulip |  | 10 |")
    assert lion < tulip and "castle" not in text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"imagenet_classes": 7}, "7 of its classes are ImageNet's"),
        ({"vocabulary": {"vectors": "wordnet"}}, "Yang et al."),
        ({"vocabulary": {"vectors": "x", "hierarchy": "h"}}, "Yang et al."),
        ({"n_people": 12}, "12 of the 1,234 labels name a person"),
    ],
)
def test_a_bias_is_told_only_where_its_cause_is_there(changed, words):
    assert words not in modelcard.write(FACTS)
    assert words in modelcard.write(dataclasses.replace(FACTS, **changed))


def test_what_was_not_measured_is_a_limit():
    text = modelcard.write(FACTS)
    assert "No split was ranked among the whole vocabulary." in text and "Fewer than 20 labels" not in text
    assert "Seen and zero-shot labels were not measured against each other" in text
    few = FACTS.splits[0]._replace(n_labels=19, candidates="vocabulary")
    text = modelcard.write(dataclasses.replace(FACTS, splits=[few], pairs=[("both", "a", "b")]))
    assert "Fewer than 20 labels" in text and "No split was ranked" not in text
    assert "both: images of a (seen) and of b (zero-shot)" in text and "were not measured against" not in text


def test_names_are_never_markup_and_stay_in_their_cells():
    bad = "a|b\n# c <script> [x](y)"
    facts = dataclasses.replace(
        FACTS,
        splits=[FACTS.splits[0]._replace(name=bad, source=bad)],
        figures=[one._replace(split=bad) for one in FACTS.figures],
        labels=[one._replace(split=bad, label=bad) for one in FACTS.labels],
    )
    text = modelcard.write(facts)
    assert "<script>" not in text.replace("\\<", "") and "\n# c" not in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


def test_a_page_of_confusions_shows_each_pair_with_its_pictures(tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (60, 40), (200, 30, 30)).save(tmp_path / f"{name}.png")
    uris = [storage.normalise(str(tmp_path / f"{name}.png")) for name in ("a", "b")]
    pairs = [
        confusions.Pair("jay", "magpie", 1200, 2000, [(uris[0], 0.51), (uris[1], 0.5)]),
        confusions.Pair("<b>", "owl", 3, 4, [(uris[0], 0.4)]),
    ]
    confusions.write_page(pairs, "Worst confusions", str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("jay (1,200 of 2,000)</b><ol><li>magpie <i>0.51</i></li></ol>") == 1
    assert text.count("data:image/webp;base64,") == 3 and "&lt;b&gt; (3 of 4)" in text
    with pytest.raises(ValueError, match="no tiles"):
        confusions.write_page([], "none", str(tmp_path / "none.html"))
