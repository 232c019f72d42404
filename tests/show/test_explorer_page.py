"""The explorer's page in a real browser, over the real server: what a person types, clicks, drops and is told."""

import hashlib
import re
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from explorers import TOKEN, add_neighbours, picture, served
from PIL import Image
from playwright.sync_api import expect
from tiny_warehouse import COLOURS, add_tables, make_vocabulary, publish, unit, write_index

from devise.store import storage
from devise.warehouse import pointer

PAGE = Path(__file__).resolve().parents[2] / "devise/show/explorer/page"
VENDOR = Path(__file__).with_name("vendor")
MORE = 33
"""Pictures of a noun: four nouns make more than a page of answers."""
SUM = "lion + tulip"
"""Asks the index, which ranks all pictures; a word's list holds a few."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A warehouse of 132 pictures; the last one of the tulips is gone."""
    folder = tmp_path_factory.mktemp("page")
    warehouse, pictures = publish(folder)
    rng, words = np.random.default_rng(1), make_vocabulary()
    for row, (noun, colour) in enumerate(COLOURS.items()):
        for number in range(3, MORE):
            path = folder / "pictures" / noun / f"{number}.png"
            Image.new("RGB", (40, 30), tuple(max(0, part - 3 * number) for part in colour)).save(path)
            embedding_D = unit(words.vectors[row] + 0.15 * rng.normal(size=words.vectors.shape[1]))
            pictures[storage.normalise(str(path))] = (7_000 + 100 * row + number, embedding_D)
    write_index(warehouse, "r2", pictures, "Flat", 2)
    live = pointer.read(warehouse)
    pointer.swap(warehouse, [(t, "r2" if t == "index" else r) for t, r in live.pairs()], "r2", live)
    add_tables(warehouse, pictures, "r3")
    add_neighbours(warehouse, pictures, "r4")
    Path(folder / "pictures" / "tulip" / f"{MORE - 1}.png").unlink()
    return warehouse, pictures


@pytest.fixture(scope="module")
def url(made):
    with served(made[0]) as found:
        yield found


@pytest.fixture
def page(browser, url):
    """A page of a fresh person; no script may fail, and nothing break the content security policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=url, reduced_motion="reduce")
    context.set_default_timeout(10_000)
    found, faults = context.new_page(), []
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
    yield found
    context.close()
    assert [fault for fault in faults if not fault.startswith("Failed to load resource")] == []


def ask(page, query, wait=True, **more):
    parameters = httpx.QueryParams({"q": query, **more})
    page.goto(f"/?{parameters}")
    if wait:
        expect(page.locator("#count")).to_contain_text("picture")


def slow(case):
    return pytest.param(case, marks=pytest.mark.slow)


def until(page, expression):
    """Waits for an expression to be true; Playwright's own wait wants `eval`, which the page's policy forbids."""
    end = time.monotonic() + 10
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never: {expression}"
        page.wait_for_timeout(30)


def query_of(page):
    return httpx.URL(page.url).params.get("q", "")


def at_hand(page):
    """Number of the tile that has the focus; -1 if none has."""
    return page.evaluate("[...document.querySelectorAll('[role=gridcell]')].indexOf(document.activeElement)")


def test_a_word_is_completed_under_the_caret_and_answered(page):
    page.goto("/")
    box, words = page.locator("#asked"), page.locator("#asked-list [role=option]")
    box.press_sequentially("king of")
    expect(words).to_have_text(["lion“king of beasts”"])
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("Escape")
    expect(box).to_have_attribute("aria-expanded", "false")
    expect(box).to_have_value("king of")
    box.press("ArrowDown")
    expect(words).to_have_count(1)
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", words.first.get_attribute("id"))
    box.press("Enter")
    expect(page.locator("#count")).to_contain_text("132 pictures")
    box.press_sequentially(" + 2 * tul - fer")
    for _ in " - fer":
        box.press("ArrowLeft")
    box.press_sequentially("i")
    expect(words).to_have_text(["tulip"])
    words.first.click()
    expect(box).to_have_value("lion + 2 * tulip - fer")
    expect(page.locator("#ask-said")).to_contain_text("fer")


def test_a_word_that_grew_since_its_completions_came_is_replaced_whole(page):
    page.goto("/")
    box, words = page.locator("#asked"), page.locator("#asked-list [role=option]")
    box.press_sequentially("lion + tul")
    expect(words).to_have_text(["tulip"])
    page.route("**/api/words*", lambda route: None)  # it is never answered
    box.press_sequentially("i")
    words.first.click()
    expect(box).to_have_value("lion + tulip")
    page.unroute("**/api/words*")


def test_examples_are_what_the_pictures_show(page):
    page.goto("/")
    examples = page.locator("#examples button")
    expect(examples).to_have_count(4)
    expect(page.locator("#examples img")).to_have_count(4)
    until(page, "[...document.querySelectorAll('#examples img')].every(image => image.naturalWidth > 0)")
    examples.filter(has_text="castle").click()
    expect(page.locator(".caption").first).to_contain_text("castle")
    assert query_of(page) == "castle"


def test_a_tile_has_a_picture_its_words_and_its_score(page):
    ask(page, SUM)
    hit = httpx.get(httpx.URL(page.url).join("/api/search"), params={"q": SUM}).json()["hits"][0]
    image = page.locator(".tile img").first
    assert (image.get_attribute("alt"), image.get_attribute("loading")) == (hit["alt"], "lazy")
    assert page.locator(".caption").first.inner_text().split() == [hit["answer"], f"{hit['score']:.2f}"]
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 40
    assert page.locator("#publication").inner_text() == "Publication 4, run r4; compared exactly"


def test_the_page_works_by_keys_alone(page):
    page.goto("/")
    expect(page.locator("#start")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type(SUM)
    page.keyboard.press("Enter")
    expect(page.locator("#count")).to_contain_text("132 pictures")
    for _ in range(40):
        page.keyboard.press("Tab")
        if at_hand(page) == 0:
            break
    walked = []
    for key in ("ArrowRight", "End", "ArrowDown", "Home", "ArrowUp", "ArrowUp", "Control+End", "Control+Home"):
        page.keyboard.press(key)
        walked.append(at_hand(page))
    columns = page.locator(".row").first.locator(".tile").count()
    assert walked == [1, columns - 1, 2 * columns - 1, columns, 0, 0, 99, 0] and columns > 4
    assert page.locator(".tile[tabindex='0']").count() == 1
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#detail .bar")).to_contain_text("2 of 132")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#detail .bar")).to_contain_text("3 of 132")
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(page.locator(".tile").nth(2)).to_be_focused()
    page.keyboard.press("-")
    expect(page.locator("#pictured .minus")).to_have_count(1)
    assert re.fullmatch(r"lion \+ tulip - image:ID/\d+", query_of(page))
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    expect(page.locator("#start")).to_be_visible()


def test_a_click_on_a_picture_goes_on_from_it_and_back_leads_to_where_one_was(page):
    ask(page, SUM)
    page.locator("#more").scroll_into_view_if_needed()
    expect(page.locator(".tile")).to_have_count(132)
    page.evaluate("scrollTo(0, 1500)")
    until(page, "history.state?.top === scrollY")
    page.locator(".picture").nth(60).click()
    expect(page).to_have_url(re.compile(r"q=image%3AID%2F\d+$"))
    expect(page.locator("#pictured .term")).to_have_count(1)
    expect(page.locator("#asked")).to_have_value("")
    expect(page.locator(".score").first).to_have_text("1.00")
    assert page.evaluate("scrollY") == 0
    page.go_back()
    expect(page.locator(".tile")).to_have_count(132)
    expect(page.locator("#asked")).to_have_value(SUM)
    until(page, "scrollY > 1000")


def test_a_dropped_picture_is_labelled_and_searched_with(page):
    ask(page, "ferry")
    data = page.evaluate_handle(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "mine.png", { type: "image/png" }));
            return data;
        }""",
        list(picture()),
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": data})
    expect(page.locator("#drop")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    labels = page.locator("#picture-labels button")
    expect(labels).to_have_count(5, timeout=30_000)
    expect(page.locator("#drop")).to_be_hidden()
    assert query_of(page).startswith("image:VECTOR/") and page.title().startswith("mine.png")
    told = labels.all_inner_texts()
    page.reload()
    expect(page.locator("#count")).to_contain_text("132 pictures")
    assert labels.all_inner_texts() == told
    assert page.locator("#asked").input_value() == "" and page.locator("#pictured img").count() == 1
    page.fill("#asked", "lion")
    page.keyboard.press("Enter")
    expect(page.locator("#count")).to_contain_text("132 pictures")
    assert re.fullmatch(r"image:VECTOR/\S+ \+ lion", query_of(page))
    page.get_by_role("button", name="remove mine.png").click()
    expect(page).to_have_url(re.compile(r"\?q=lion$"))


def test_a_picture_that_was_copied_is_pasted(browser, url):
    context = browser.new_context(base_url=url, permissions=["clipboard-read", "clipboard-write"])
    with context:
        page = context.new_page()
        ask(page, "ferry")
        page.evaluate(
            """bytes => navigator.clipboard.write([
                new ClipboardItem({ "image/png": new Blob([new Uint8Array(bytes)], { type: "image/png" }) })])""",
            list(picture()),
        )
        page.locator("#answers").focus()
        page.keyboard.press("Control+V")
        expect(page.locator("#picture-labels button")).to_have_count(5, timeout=30_000)
        assert query_of(page).startswith("image:VECTOR/")


def test_a_file_that_is_no_picture_is_refused_in_one_line(page):
    ask(page, "ferry")
    page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no picture at all"})
    expect(page.locator("#trouble p")).to_contain_text("not_an_image", timeout=30_000)
    expect(page.locator("#grid")).not_to_have_attribute("aria-busy", "true")


def test_the_address_holds_all_that_is_asked(page, made):
    folder = next(iter(made[1])).rsplit("/", 1)[0] + "/"
    ask(page, SUM, under=folder, since="2026-01-02", fold="true", least="0.3")
    shown = page.locator("#active button").all_inner_texts()
    assert [text.split()[0] for text in shown] == ["in", "since", "at", "near-duplicates"]
    page.locator(".caption").nth(1).click()
    expect(page.locator("#detail .why li")).to_have_count(2)
    shares = [float(text.replace("−", "-")) for text in page.locator("#detail .why i").all_inner_texts()]
    score = float(page.locator(".score").nth(1).inner_text())
    assert sum(shares) == pytest.approx(score, abs=0.011)
    name, before = page.locator("#detail h2").inner_text(), page.locator("#count").inner_text()
    page.reload()
    expect(page.locator("#detail h2")).to_have_text(name)
    expect(page.locator("#detail .bar")).to_contain_text("2 of")
    assert page.locator("#count").inner_text() == before
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    assert page.locator("#under").input_value() == folder and page.locator("#fold").is_checked()
    page.get_by_role("button", name="remove the filter: since").click()
    until(page, "!location.search.includes('since')")
    page.go_back()
    expect(page.locator("#since")).to_have_value("2026-01-02")
    csv = httpx.get(httpx.URL(page.url).join(page.get_attribute("#csv", "href"))).text
    assert f"{len(csv.splitlines()) - 1} pictures" in before


def test_filters_ask_again(page):
    ask(page, SUM)
    page.locator("#filters summary").click()
    page.locator("#least").evaluate("slider => { slider.value = 0.6; slider.dispatchEvent(new Event('input')); }")
    until(page, "location.search.includes('least=0.6')")
    expect(page.locator("#count")).to_have_text(re.compile(r"^(?!132)\d+ pictures"))
    assert float(page.locator(".score").last.text_content()) >= 0.6
    page.locator("#chips button").first.click()
    expect(page.locator("#active button")).to_have_count(2)
    page.fill("#label", "sea")
    page.locator("#label-list li").click()
    until(page, "location.search.includes('label=sea')")
    page.fill("#under", "s3://elsewhere/")
    page.keyboard.press("Enter")
    expect(page.locator("#nothing p")).to_contain_text("Nothing fits")
    page.get_by_role("button", name="Without filters").click()
    expect(page.locator("#count")).to_contain_text("132 pictures")
    assert httpx.URL(page.url).params == httpx.QueryParams(q=SUM)


def test_a_filter_that_a_publication_cannot_answer_says_so_and_cannot_be_filled_in(page, url, tmp_path):
    names = ("label", "since", "fold")
    ask(page, SUM)
    assert all(page.locator(f"#{name}").is_enabled() and page.locator(f"#{name}-lacks").is_hidden() for name in names)
    with served(publish(tmp_path)[0]) as bare:
        page.goto(f"{bare}/?q=lion+%2B+tulip")
        page.locator("#filters summary").click()
        for name, table in zip(names, ("labels", "images", "neighbours"), strict=True):
            expect(page.locator(f"#{name}")).to_be_disabled()
            expect(page.locator(f"#{name}")).to_have_accessible_description(f"not here: table {table} is not published")
        expect(page.locator("#under")).to_be_enabled()
        page.evaluate((VENDOR / "axe-core/axe.min.js").read_text(encoding="utf-8"))
        assert page.evaluate("axe.run()")["violations"] == []
        page.goto(f"{bare}/?q=lion+%2B+tulip&since=2026-01-01")  # what another publication was asked
        expect(page.locator("#ask-said")).to_have_text("since: cannot be asked for: table images is not published")
        page.get_by_role("button", name="remove the filter: since").click()
        expect(page.locator("#count")).to_contain_text("12 pictures")


def test_what_a_picture_shows_leads_on(page):
    ask(page, "castle")
    page.locator(".caption").first.click()
    detail = page.locator("#detail")
    expect(detail.locator(".near button")).to_have_count(1)
    before = detail.locator("h2").inner_text()
    detail.locator(".near button").click()
    expect(detail.locator("h2")).not_to_have_text(before)
    detail.get_by_role("button", name="Add to the search").click()
    expect(detail).to_be_hidden()
    assert re.fullmatch(r"castle \+ image:ID/\d+", query_of(page))
    page.locator("#pictured .sign").click()
    until(page, "decodeURIComponent(location.search).includes('castle+-+image:ID/')")
    page.locator(".caption").first.click()
    detail.locator(".labels button").filter(has_text="ferry").click()
    until(page, "location.search === '?q=ferry'")


def test_a_picture_that_is_gone_keeps_its_words(page, made):
    gone = next(image_id for uri, (image_id, _) in made[1].items() if uri.endswith(f"tulip/{MORE - 1}.png"))
    ask(page, f"image:ID/{gone}")
    tile = page.locator(".tile").first
    expect(tile.locator(".unshown")).to_have_text("cannot be shown")
    assert "tulip" in tile.locator(".caption").inner_text()
    assert "cannot be shown" in tile.locator(".unshown").get_attribute("aria-label")


@pytest.mark.slow
def test_a_thumbnail_that_came_too_often_is_asked_for_again(page):
    often = {"status": 429, "headers": {"Retry-After": "1"}, "json": {"error": "asked too often"}}
    page.route("**/thumbnail", lambda route: route.fulfill(**often))
    ask(page, "lion")
    page.wait_for_timeout(300)
    page.unroute("**/thumbnail")
    until(page, "document.querySelector('.tile img')?.naturalWidth === 40")


def test_answers_of_two_publications_are_never_mixed(page, made, url):
    ask(page, SUM)
    live = pointer.read(made[0])
    pointer.swap(made[0], live.pairs(), "r5", live)
    try:
        until(page, f"fetch('/api/live').then(a => a.json()).then(live => live.publication > {live.number})")
        page.locator("#more").evaluate("button => button.click()")
        expect(page.locator("#notice")).to_contain_text("published anew")
        expect(page.locator("#publication")).to_contain_text(f"Publication {live.number + 1}, run r5")
    finally:
        back = pointer.read(made[0])
        pointer.swap(made[0], back.pairs(), "r4", back)


def test_faults_are_told_in_the_server_s_line_and_tried_again(page):
    ask(page, "frobnicate", wait=False)
    expect(page.locator("#ask-said")).to_contain_text("frobnicate")
    expect(page.locator("#asked")).to_have_attribute("aria-invalid", "true")
    busy = {"status": 503, "headers": {"Retry-After": "5"}, "json": {"error": "busy"}}
    page.route("**/api/search*", lambda route: route.fulfill(**busy))
    page.fill("#asked", "lion")
    page.keyboard.press("Enter")
    expect(page.locator("#trouble p")).to_have_text("busy Come again in 5 s.")
    page.unroute("**/api/search*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".caption").first).to_contain_text("lion")
    expect(page.locator("#trouble")).to_be_hidden()


def test_a_token_is_asked_for_once(browser, made):
    with served(made[0], token=TOKEN) as url, browser.new_context(base_url=url) as context:
        page = context.new_page()
        ask(page, "lion", wait=False)
        page.fill("#token-text", "another token of letters")
        page.keyboard.press("Enter")
        expect(page.locator("#token-said")).to_contain_text("token")
        page.fill("#token-text", TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator(".caption").first).to_contain_text("lion")
        page.reload()
        expect(page.locator(".caption").first).to_contain_text("lion")
        assert page.evaluate("document.cookie") == ""


def test_dark_and_light_are_the_system_s_until_one_is_chosen(page):
    paper = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    page.goto("/")
    dark = page.evaluate(paper)
    page.locator("#theme").click()
    light = page.evaluate(paper)
    page.reload()
    assert page.evaluate(paper) == light != dark


@pytest.mark.parametrize("width", [slow(360), 390, slow(3840)])
def test_no_page_is_wider_than_its_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    for query in ("", SUM):
        ask(page, query, wait=query != "", label="castle" if query else "")
        page.locator("#filters summary").click() if query else expect(page.locator("#start")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator(".caption").first.click()
    expect(page.locator("#detail .facts")).to_contain_text("id")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("#detail").evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


@pytest.mark.parametrize("state", ["start", *(slow(state) for state in ("answers", "detail", "dark")), "phone"])
def test_axe_finds_no_fault(page, state):
    page.emulate_media(color_scheme="dark" if state == "dark" else "light", reduced_motion="reduce")
    if state == "phone":
        page.set_viewport_size({"width": 390, "height": 844})
    if state == "start":
        page.goto("/")
        expect(page.locator("#start")).to_be_visible()
    else:
        ask(page, SUM, label="castle")
        page.locator("#filters summary").click()
    if state in ("detail", "phone"):
        page.locator(".caption").first.click()
        expect(page.locator("#detail .why li").first).to_be_visible()
        expect(page.locator("#detail .facts")).to_contain_text("id")
    page.evaluate((VENDOR / "axe-core/axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found] == []


def test_the_calls_are_described_without_another_server(page, url):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/docs")
    expect(page.locator(".opblock-summary-path").filter(has_text="/api/search")).to_be_visible()
    assert all(place.startswith((url, "data:")) for place in asked)


def test_queries_are_taken_apart_and_put_together_as_people_wrote_them(page):
    page.goto("/")
    grammar = """async ([name, ...given]) => {
        const { terms, compose, quote, wordAt } = await import("/page/grammar.js");
        return { again: text => compose(terms(text)), quote, wordAt }[name](...given);
    }"""
    same = ["2 * ship + sail - engine", '"rock + roll" - t-shirt', "image:/a/b + c.jpg + snow", "c++", "-2 * ship"]
    assert [page.evaluate(grammar, ["again", text]) for text in same] == same
    assert page.evaluate(grammar, ["again", "- ship + image:ID/7"]) == "image:ID/7 - ship"
    assert page.evaluate(grammar, ["again", "- image:ID/7"]) == "-1 * image:ID/7"
    assert [page.evaluate(grammar, ["quote", text]) for text in ("t-shirt", "t - shirt")] == ["t-shirt", '"t - shirt"']
    found = page.evaluate(grammar, ["wordAt", '2 * ship + "sea li - x', 18])
    assert found == {"from": 11, "to": 22, "text": "sea li - x"}
    assert page.evaluate(grammar, ["wordAt", "image:ID/7 + snow", 4]) is None


@pytest.mark.parametrize("text", ["constructor", "__proto__", "image:ID/../../../api/health?x="])
def test_words_that_scripts_know_and_paths_that_are_no_ids_are_asked_like_any_other(page, text):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/?q={text}")
    expect(page.get_by_role("alert").first).to_contain_text(re.compile("query|image:"))
    assert any("/api/search?q=" in url for url in asked) and not any("health" in url.partition("?")[0] for url in asked)


@pytest.mark.parametrize("folder", [PAGE / "vendor", VENDOR], ids=["page", "tests"])
def test_what_others_made_is_as_they_published_it(folder):
    lines = [line.split() for line in (folder / "CHECKSUMS").read_text(encoding="utf-8").splitlines()]
    made = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for _, name, _, _ in lines}
    assert made == {name: digest for digest, name, _, _ in lines}
    assert set(made) == {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {"CHECKSUMS"}
    assert {Path(name).parent for name in made} == {Path(name).parent for name in made if "LICENSE" in name}


@pytest.mark.parametrize("path", [*PAGE.glob("*.js"), *PAGE.glob("*.css")], ids=lambda path: path.name)
def test_a_module_of_the_page_fits_in_the_head_and_says_what_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300 and text.startswith(("// ", "/* "))
