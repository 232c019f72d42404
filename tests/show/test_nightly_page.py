"""The night's page: whole in itself, escaped whatever names hold, its charts with their numbers, its map with names."""

import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from devise.show.nightly import facts, mapped, page
from devise.show.nightly.facts import Change, Dot, Facts, Figure, Phase, Refused, Sheet, Tile

EVIL = "file:///p/<script>alert(1)</script>&\"'.jpg"


def webp(colour="red"):
    made = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(made, "WEBP")
    return made.getvalue()


DOTS = [
    Dot(f"file:///p/{n}.jpg", ["ship", "boat"] if n % 3 else ["bird"], n % 3 * 5 + n / 90, n / 30, n % 3)
    for n in range(90)
]
DOTS.append(Dot(EVIL, ["</script><b>", "x"], 1, 1, 0))
CHANGES = [
    Change("ferry", 10, 40, 30, 7.5, 1e-9, True),
    Change("mosque", 90, 91, 1, 0.2, 1e-4, True),
    Change("</td><script>", None, 12, 2, 1.1, 0.8, False),
]
FACTS = Facts(
    run="2026-11-24",
    model_id="m" * 16,
    vocabulary_id="v" * 16,
    n_live=1_234,
    counts={
        **{"listed": 1_240, "new": 40, "changed": 3, "removed": 2, "attempted": 49},
        **{"embedded": 43, "rejected": 6, "unchanged": 1_191, "carried": 0},
    },
    phases=[Phase("catalog_images", 2.0, 1_240, 7, 0), Phase("embed_images", 0.5, 43, 50, 1)],
    requests={"images": {"GetObject": 1_000_000}, "files": {"PutObject": 2_000, "DeleteObjects": 9}},
    usd_an_hour=36.0,
    rejects=[Refused("truncated", 6, [(EVIL, "found <end>")])],
    figures=[
        Figure(run, name, split, k, value, value - 0.05, value + 0.05, 99)
        for run, value in (("2026-11-23", 0.5), ("2026-11-24", 0.6))
        for name, split, k in (("hit", "<new>", 1), ("hit", "<new>", 5), ("recall", "word", 10))
    ],
    curve="<svg xmlns='http://www.w3.org/2000/svg'><script>alert(2)</script></svg>",
    hub_labels=[("artifact", 700), ("<bird>", 534)],
    hub_images=[("file:///p/1.jpg", 99)],
    n_lists=500,
    changes=CHANGES,
    unchanged_why="",
    rate=0.05,
    sheets=[Sheet("ship + <sail>", [Tile(EVIL, "0.51", [EVIL])], ""), Sheet("church", [], "None of them shows it.")],
    drawn=[Tile("file:///p/2.jpg", "ship 91%", ["ship, boat"])],
    mapped=DOTS,
    map_run="2026-11-23",
    thumbnails={dot.uri: webp() for dot in DOTS},
)


class Read(HTMLParser):
    """Tags as a browser would open them, and the texts of cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        told = dict(attributes)
        self.tags.append(tag)
        self.ids += [told["id"]] if "id" in told else []
        self.links += [value for name, value in attributes if name in ("src", "href") and value]
        assert not [name for name, _ in attributes if name.startswith("on")]


@pytest.fixture(scope="module")
def text():
    return page.write(FACTS)


def test_the_page_needs_nothing_beside_it_and_runs_no_script_of_a_name(text):
    read = Read(text)
    assert read.tags.count("script") == 2 and "alert(1)" not in re.sub(
        "&lt;script&gt;alert\\(1\\)|u003cscript>alert\\(1\\)", "", text
    )
    assert all(link.startswith(("data:image/", "#")) for link in read.links)
    assert len(read.ids) == len(set(read.ids)) and not re.search(r"url\((?!data:)", text)
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)
    assert "<new>" not in text and "<bird>" not in text and "<sail>" not in text


def test_each_chart_is_one_image_with_a_title_and_its_numbers_as_a_table(text):
    charts = re.findall(r'<figure class="chart">(.*?)</figure>', text, re.DOTALL)
    assert len(charts) == 5  # seconds, hits, recall, commonest labels, drift
    for chart in charts:
        assert len(re.findall(r'<svg role="img"[^>]*><title>[^<]+</title><desc>[^<]+</desc>', chart)) == 1
        assert "<details><summary>" in chart and "<table>" in chart and "aria-roledescription" not in chart
        assert "var(--one)" in chart and "currentColor" in chart
    assert "60.0%" in charts[1] and "2026-11-23" in charts[1]


def test_what_ran_is_told_with_its_price(text):
    for words in (
        "1,240 listed = 43 embedded + 6 rejected + 1,191 unchanged + 0 carried",
        "Requests: 0.4100 USD",  # a million GETs, two thousand PUTs; what is deleted is free
        "0.00 h at 36 USD an hour, as the settings say: 0.03 USD",  # 2.5 s
        "<dd>98</dd>",  # 49 images in half a second
    ):
        assert words in text, words
    without = page.write(dataclasses.replace(FACTS, requests={}, usd_an_hour=None))
    assert "No request went to S3." in without and "not priced" in without


def test_what_changed_says_drift_or_noise_and_before_it_can_says_why(text):
    rows = re.findall(r'<tr><th scope="row">(ferry|mosque|&lt;/td&gt;&lt;script&gt;)</th>(.*?)</tr>', text)
    verdicts = {label: re.findall("drift: rose|drift: fell|noise", cells) for label, cells in rows}
    assert verdicts["ferry"] == ["drift: rose"] and verdicts["mosque"] == ["drift: fell"]
    assert verdicts["&lt;/td&gt;&lt;script&gt;"] == ["noise"]
    first = page.write(dataclasses.replace(FACTS, changes=None, unchanged_why="It is the first night."))
    assert "It is the first night." in first and "drift: rose" not in first


def test_the_map_has_a_dot_an_image_a_name_a_place_and_pictures_for_each(text):
    data = json.loads(re.search(r'id="dots">(.*?)</script>', text, re.DOTALL)[1])
    assert (
        len(data) == len(DOTS) == re.search('class="dots" d="([^"]*)"', text)[1].count("h0")
        and data[-1][2] == "</script><b>"
    )
    found = mapped.places(DOTS)
    assert [(one.name, one.n) for one in found] == [("bird", 31), ("boat", 30), ("boat", 30)]
    assert len(mapped.choose(DOTS)) == 3 * mapped.PICTURES_A_PLACE == sum(row[4] >= 0 for row in data)
    assert "Too few images" in page.write(dataclasses.replace(FACTS, mapped=[]))


def test_a_place_is_named_by_what_is_common_there_and_not_everywhere():
    everywhere = [Dot(f"{n}", ["artifact", "ship" if n < 30 else "lamp"], n, 0, int(n >= 30)) for n in range(60)]
    assert [one.name for one in mapped.places(everywhere)] == ["lamp", "ship"]


def test_a_picture_that_cannot_be_shown_says_so_and_a_page_of_nothing_is_one_too():
    none = dataclasses.replace(
        FACTS, thumbnails={}, rejects=[], figures=[], curve=None, hub_labels=[], hub_images=[], sheets=[], mapped=[]
    )
    text = page.write(none)
    assert "cannot be shown" in text and "No image was rejected" in text and "Nothing was measured" in text


def test_each_picture_is_asked_for_once():
    tiles = [Tile("a", ""), Tile("b", "")]
    assert facts.pictured([tiles, tiles[:1]], DOTS[:1], FACTS.rejects) == ["a", "b", EVIL, DOTS[0].uri]
