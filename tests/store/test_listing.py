"""The parts of a listing cover every object once, however keys are called and wherever they are cut."""

import os
from itertools import product

import listserver
import pytest
from listserver import ListServer, MadeKeys
from PIL import Image

from devise.config import CatalogConfig
from devise.errors import ImageError, StorageError
from devise.groups import S3Config
from devise.store import listing, passedover, s3, storage
from devise.store.listing import Part
from devise.vision.formats import SIGNATURES

ODD_KEYS = sorted(
    ["in/00", "in/00a", "in/0", "in/01/x.jpg", "in/ff.jpg", "in/fg", "in/ g +.jpg", "in/:", "in/100%41.jpg", "in/a=b"]
    + [
        "in//double.jpg",
        "in/a//b.jpg",
        "in/a//c//d",
        "in/marker/",
        "in/marker/1",
        "in/ａ",
        "in/😀",
        "in/～/ü",
        "in/?&#",
    ]
    + [f"in/deep/{a}/{b}/{c}" for a, b, c in product("012", "ab", range(4))]
    + ["in", "in0", "inn/1", "a", "/root.jpg", "z/9"]
)
BELOW = {f"s3://made/{key}" for key in ODD_KEYS if key.startswith("in/") and not key.endswith("/")}


@pytest.fixture
def serve(monkeypatch):
    """Start a server of these keys and reach it."""
    started = []

    def start(keys):
        server = ListServer(keys).__enter__()
        started.append(server)
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(s3.VARIABLE, "{}")
        s3.configure(S3Config(endpoint=server.endpoint, path_style=True))
        return server

    yield start
    for server in started:
        server.__exit__()


def listed(parts):
    return sorted(file.uri for part in parts for page in listing.read(part) for file in page)


@pytest.mark.parametrize("page", [1, 3])
@pytest.mark.parametrize(
    "texts",
    [["0"], ["0", "00", "01", "a", "f"], [f"{n:02x}" for n in range(256)], ["a/", "a//", "marker/"], ["😀", "～"]],
)
def test_cuts_anywhere_lose_no_object_and_list_none_twice(serve, monkeypatch, texts, page):
    monkeypatch.setattr(listserver, "PAGE", page)
    serve(ODD_KEYS)
    assert listed(listing.fan("s3://made/in/", texts)) == sorted(BELOW)


@pytest.mark.parametrize(("wanted", "pages", "page"), product([1, 5, 1000], [1, 2, 10], [1, 3]))
def test_folders_and_the_rest_of_a_large_level_cover_every_object_once(serve, monkeypatch, wanted, pages, page):
    monkeypatch.setattr(listserver, "PAGE", page)
    monkeypatch.setattr(listing, "LEVEL_PAGES", pages)
    serve(ODD_KEYS)
    assert listed(listing.spread("s3://made/in/", wanted)) == sorted(BELOW)
    everything = {f"s3://made/{key}" for key in ODD_KEYS if not key.endswith("/")}
    assert listed(listing.spread("s3://made/", wanted)) == sorted(everything)


def test_a_plan_of_a_flat_folder_asks_for_a_few_pages_only(serve):
    server = serve(MadeKeys(256, 400, separator="-"))
    parts = listing.spread("s3://made/corpus/")
    assert len(server.asked) == listing.LEVEL_PAGES + 1 and len(parts) == 2
    del server.asked[:]
    parts = listing.plan(["s3://made/corpus/"], [f"{n:02x}" for n in range(256)])
    assert len(server.asked) == 1 and len(parts) == 257
    assert sum(len(page) for page in listing.read(parts[7])) == 400


def test_a_listing_is_one_request_a_page_and_asks_for_no_page_ahead(serve):
    server = serve(MadeKeys(1, 2500))
    pages = listing.read(Part("s3://made/corpus/", "s3://made/corpus/"))
    assert len(next(pages)) == 1000 and len(server.asked) == 1
    assert [len(page) for page in pages] == [1000, 500] and len(server.asked) == 3


def test_keys_out_of_order_are_refused_where_a_bound_would_lose_them(monkeypatch):
    files = [storage.Stat(f"s3://b/{key}", 1, "e", 0.0) for key in ("1", "3", "2")]
    monkeypatch.setattr(storage, "list_pages", lambda *_, **__: iter([([], files)]))
    with pytest.raises(StorageError, match="s3://b/2: listed behind s3://b/3, wanted keys in the order"):
        list(listing.read(Part("s3://b/", "s3://b/", upto="s3://b/9")))
    with pytest.raises(StorageError, match="s3://b/1: listed behind s3://b/1"):  # a server that knows no StartAfter
        list(listing.read(Part("s3://b/", "s3://b/", after="s3://b/1")))
    assert len(listed([Part("s3://b/", "s3://b/")])) == 3


def test_a_missing_bucket_is_told_while_planning(s3_server):
    with pytest.raises(StorageError, match="s3://no-such-bucket/in: NoSuchBucket"):
        listing.plan(["s3://no-such-bucket/in"], ["0"])
    with pytest.raises(StorageError, match="s3://no-such-bucket/in: NoSuchBucket"):
        listing.plan(["s3://no-such-bucket/in"], [])


@pytest.mark.parametrize("fan_out", [[], ["0"]])
def test_a_mistyped_prefix_is_no_corpus_that_was_removed(serve, fan_out):
    serve(ODD_KEYS)
    with pytest.raises(StorageError, match="s3://made/inx/: nothing is below this place"):
        listing.plan(["s3://made/in", "s3://made/inx"], fan_out)


def test_a_folder_that_is_not_mounted_is_no_corpus_that_was_removed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"x")
    (tmp_path / "b" / "empty").mkdir(parents=True)
    with pytest.raises(StorageError, match="b/: nothing is below this place"):
        listing.plan([str(tmp_path / "a"), str(tmp_path / "b")], [])


@pytest.fixture
def odd_folder(tmp_path):
    """Two pictures beside everything that a folder may hold, and under which kind each is counted."""
    root = tmp_path / "corpus"
    (root / "deep" / "er").mkdir(parents=True)
    for name in ("1.jpg", "deep/er/2.JPEG", "deep/notes.txt", "3.heic", "4.HEIC", "README", ".hidden", "a.1234"):
        (root / name).write_bytes(b"x")
    os.symlink("self.jpg", root / "self.jpg")
    os.symlink("gone.jpg", root / "dangling.jpg")
    os.symlink(root / "1.jpg" / "below", root / "through_a_file.jpg")
    os.symlink("../..", root / "deep" / "above")
    os.symlink(".", root / "here")
    os.symlink("x" * 300, root / "too_long.jpg")
    os.mkfifo(root / "pipe.jpg")
    for name in (b"caf\xe9.jpg", b"caf\xe9/1.jpg", b"caf\xe9/er/2.jpg"):
        path = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x")
    counts = {passedover.LINK: 6, passedover.SPECIAL: 1, passedover.NOT_UTF8: 3, ".heic": 2, ".txt": 1}
    return root, counts | {passedover.NO_ENDING: 2, passedover.OTHERS: 1}


@pytest.mark.parametrize("wanted", [1, 2, 3, 100])
def test_one_bad_name_costs_its_own_file_and_is_counted_once_however_the_listing_is_cut(odd_folder, wanted):
    root, counts = odd_folder
    passed_over, found = passedover.PassedOver(), []
    for part in listing.spread(f"file://{root}/", wanted):
        for page in listing.read_matching(part, ["*.jpg", "*.jpeg"], [], passed_over.tell):
            found += listing.batch(page).column("uri").to_pylist()
    assert sorted(found) == [f"file://{root}/1.jpg", f"file://{root}/deep/er/2.JPEG"]
    assert passed_over.counts == counts


def test_links_that_lead_elsewhere_are_followed_and_those_in_a_circle_end(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.jpg").write_bytes(b"x")
    os.symlink("../b", tmp_path / "a" / "to_b")
    os.symlink("../a", tmp_path / "b" / "to_a")
    os.symlink("a.jpg", tmp_path / "a" / "same.jpg")
    found = {file.uri.removeprefix(f"file://{tmp_path}/a/") for file in storage.list_files(f"file://{tmp_path}/a")}
    assert found == {"a.jpg", "same.jpg", "to_b/b.jpg"}


def test_a_pipe_that_took_an_image_s_place_is_a_reject_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="a pipe or device, wanted a file") as caught:
        storage.fetch_image(f"file://{tmp_path}/pipe.jpg", "1-1")
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.HEIC", ".heic"), ("a.tar.7z", ".7z"), ("b.3gp", ".3gp"), ("a", passedover.NO_ENDING)]
    + [(".jpg", passedover.NO_ENDING), ("a.", passedover.OTHERS), ("a.123", passedover.OTHERS)]
    + [
        ("a.b/c", passedover.NO_ENDING),
        ("v1.of the house", passedover.OTHERS),
        ("a.0123456789abcdef", passedover.OTHERS),
    ],
)
def test_an_ending_is_one_that_a_format_may_have(name, kind):
    assert passedover.ending(f"s3://b/{name}") == kind


def test_counts_are_bounded_and_lose_nothing():
    counts = passedover.PassedOver()
    for number in range(5 * passedover.N_ENDINGS):
        counts.tell(f".a{number}")
    assert len(counts.counts) <= passedover.N_ENDINGS + 1
    total = passedover.add(counts.counts, {f".b{number}": 2 for number in range(500)} | {".heic": 9})
    assert len(total) <= passedover.N_ENDINGS and total[".heic"] == 9
    assert sum(total.values()) == 5 * passedover.N_ENDINGS + 1009
    line = passedover.describe(total)
    assert line.startswith("2,009 passed over: ") and line.endswith("more kinds")
    assert passedover.describe({".txt": 1, ".heic": 1200}) == "1,201 passed over: 1,200 .heic, 1 .txt"
    assert passedover.describe({}) == "0 passed over"


def test_the_default_lists_every_ending_of_the_formats_that_are_read():
    read = {"WEBP", "AVIF", *(kind for _, kind in SIGNATURES)}
    read_here = {ending for ending, kind in Image.registered_extensions().items() if kind in read}
    read_here -= {".pfm"}  # floating point, which is refused
    listed = CatalogConfig(warehouse="w", run="r1", sources=["s"]).include
    assert {f"*{ending}" for ending in read_here} <= set(listed) and len(listed) == len(set(listed))


def test_a_source_spelled_twice_is_listed_once(serve):
    serve(ODD_KEYS)
    assert listed(listing.plan(["s3://made/in", "s3a://made/in/", "s3n://made/in//"], ["0"])) == sorted(BELOW)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [(["/a"], False), (["/a", "/a/"], False), (["/a", "/ab"], False), (["/a", "/b", "/a/c"], True)],
)
def test_only_sources_inside_one_another_overlap(sources, expected):
    roots = [storage.join(storage.normalise(source), "") for source in sources]
    assert listing.overlap([Part(root, root) for root in roots]) is expected


def test_patterns_look_at_the_key_below_the_source_and_at_its_last_part():
    matches = listing.matcher("s3://b/in/", ["*.JPG", "top/?.png"], ["skip/*", "no*"])
    uris = ["1.jpg", "a/b.JpG", "top/1.png", "1.png", "skip/1.jpg", "a/skip/1.jpg", "a/none.jpg", "a/1.jpg\n"]
    assert [matches(f"s3://b/in/{key}") for key in uris] == [True, True, True, False, False, True, False, False]
    assert not listing.matcher("s3://b/", [], [])("s3://b/1.jpg")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"fan_out": ["0"]}, "fan_out is for s3:// sources, found /pictures"),
        ({"inventory": "s3://b/manifest.json"}, "inventory is for s3:// sources, found /pictures"),
        ({"fan_out": ["0"], "inventory": "s3://b/manifest.json"}, "set one of them"),
        ({"fan_out": [""]}, "at least 1 character"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(more, words):
    with pytest.raises(ValueError, match=words):
        CatalogConfig(warehouse="w", run="r1", sources=["s3://b/in", "/pictures"], **more)
