"""The night's page as the explorer gives it: where there is one, to whom, and how little its scripts may do there."""

import pytest
from explorers import TOKEN, explorer, make_warehouse, served
from playwright.sync_api import expect
from tiny_warehouse import add_page

from devise.warehouse import pointer

PAGE = """<!doctype html><title>a night</title><b>told</b> <i></i><script>
const tried = (what) => { try { return what() } catch (error) { return error.name } };
const found = [tried(() => document.cookie), tried(() => localStorage.length), origin];
fetch("/api/live").then(() => "fetched", () => "refused").then((told) => {
  document.querySelector("i").textContent = [...found, told].join();
});
</script>"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A warehouse whose night has a page that tells what its scripts could do."""
    warehouse, pictures = make_warehouse(tmp_path_factory.mktemp("night"))
    add_page(warehouse, pictures, "r4", PAGE)
    live = pointer.read(warehouse)
    pointer.swap(warehouse, [*live.pairs(), ("reports", "r4")], "r4", live)
    return warehouse


def test_the_page_is_what_the_night_wrote_and_a_night_without_one_has_none(place, asked):
    with explorer(place) as night:
        told = night.get("/night")
        assert (told.status_code, told.text) == (200, PAGE) and night.get("/api/live").json()["night"]
        assert told.headers["content-type"] == "text/html; charset=utf-8" and night("HEAD", "/night").status_code == 200
    assert asked.get("/night").status_code == 404 and not asked.get("/api/live").json()["night"]
    assert asked.get("/night").json() == {"error": "the live night has no page: report_run was no stage of it"}


def test_the_page_wants_the_token_and_is_bound_to_itself(place):
    with explorer(place, token=TOKEN) as night:
        assert night.get("/night").status_code == 401
        told = night("GET", "/night", headers={"authorization": f"Bearer {TOKEN}"})
        policy = told.headers["content-security-policy"]
        assert policy.startswith("sandbox allow-scripts; default-src 'none'; ") and "allow-same-origin" not in policy
        assert told.headers["x-content-type-options"] == "nosniff" and told.headers["x-frame-options"] == "DENY"
        assert told.headers["cross-origin-opener-policy"] == "unsafe-none"  # with a sandbox no other is allowed
        other = night("GET", "/api/live", headers={"authorization": f"Bearer {TOKEN}"})
        assert "unsafe" not in other.headers["content-security-policy"]


def test_a_person_opens_it_from_the_explorer_and_its_scripts_reach_nothing(place, browser):
    with served(place) as url:
        page = browser.new_page()
        page.goto(url)
        page.get_by_role("link", name="what the night did").click()
        expect(page.locator("b")).to_have_text("told")
        expect(page.locator("i")).to_have_text("SecurityError,SecurityError,null,refused")
        assert page.url == f"{url}/night" and page.title() == "a night"


def test_no_link_leads_to_a_page_that_is_not_there(made, browser):
    with served(made[0]) as url:
        page = browser.new_page()
        page.goto(url)
        expect(page.locator("#publication")).to_contain_text("Publication")
        expect(page.locator("#night")).to_be_hidden()
