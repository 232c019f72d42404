"""The contract as a table: what is fed to the command line, and the words of the one line that it must answer with.

0 is done; 2 is a broken promise, told in one line on standard error: what was found, what was wanted and where; a
traceback is a fault of ours. A case is a line here: add one for whatever was fed and was not refused so. `SETTINGS` and
`TERMINAL` end before Spark starts; `TABLES` run a job in the tests' one session.
"""

import io
import json
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from devise import cli


@dataclass(frozen=True)
class Case:
    """A name, the settings or arguments, words of the one line (none: it is done), and the environment.

    `{tmp}` in settings and arguments stands for the folder in which `files` lie.
    """

    name: str
    fed: str | list[str]
    words: str | None
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    """Further arguments of the job."""
    job: str = ""

    def __str__(self) -> str:
        return self.name

    def feed(self, tmp: Path) -> None:
        for name, content in self.files.items():
            path = tmp / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def run(case: Case, tmp: Path, capsys, monkeypatch, settings: dict | None = None) -> None:
    """Run a case through the command line in this process, and hold it to the contract.

    Args:
        settings: sound sections that the case's own are put over; else `fed` is the whole file.
    """
    monkeypatch.chdir(tmp)  # a case that is done after all writes where it is removed
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)
    case.feed(tmp)
    if isinstance(case.fed, list):
        arguments = case.fed
    else:
        text = case.fed if settings is None else merged(case, settings)
        text += "" if "warehouse" in text else "\nwarehouse: '{tmp}/w'"
        (tmp / "fed.yaml").write_text(text.replace("{tmp}", str(tmp)), encoding="utf-8", errors="surrogateescape")
        arguments = ["run", case.job or case.fed.split(":")[0], "--config", str(tmp / "fed.yaml"), "--run", "r9"]
    try:
        cli.main([word.replace("{tmp}", str(tmp)) for word in (*arguments, *case.more)])
        code = 0
    except SystemExit as stopped:
        code = stopped.code
    lines = capsys.readouterr().err.splitlines()
    if case.words is None:
        assert (code, lines) == (0, [])
    else:
        assert code == 2 and len(lines) == 1 and case.words in lines[0], (code, lines)


def merged(case: Case, settings: dict) -> str:
    """Sound settings with the case's own, which are JSON, over those of its job."""
    return json.dumps(settings | {case.job: settings.get(case.job, {}) | json.loads(case.fed)})


def parquet(**columns) -> bytes:
    sink = io.BytesIO()
    arrays = [column if isinstance(column, pa.Array) else pa.array(column) for column in columns.values()]
    pq.write_table(pa.Table.from_arrays(arrays, names=[name.rstrip("_") for name in columns]), sink)
    return sink.getvalue()


CATALOG, LABEL, EVALUATE, SEARCH = "catalog_images", "label_images", "evaluate_model", "search_images"
SPLIT = "labelled: {source: x}"
PAIR = "generalised: [{name: p, seen: b, zero_shot: b}]"
HOPS = "labelled: {source: x, kind: wnids, names: imagenet1k, hops: 2}"
BATCH = ("--set", "embed_images.engine.batch_size=0")
TRAIN = "train_model: {architecture: mobilenet_v2, weights: w"

ALIASES = "a: &a [x, x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrst"))

SETTINGS = [
    Case("a list that is empty", "label_images: {candidates: []}", "label_images: candidates: "),
    Case("list lengths that are none", "evaluate_model: {ks: []}", "evaluate_model: ks: "),
    Case("a list length twice", "evaluate_model: {ks: [1, 1]}", "ks: found 1 twice, wanted each once"),
    Case("an empty source", 'catalog_images: {sources: [""]}', "sources.0: found '', wanted a text that is not"),
    Case("no source", "catalog_images: {sources:}", "sources: Input should be a valid list, found None"),
    Case("patterns that are none", "catalog_images: {sources: [x], include: []}", "include: "),
    Case("thumbnails of none", "embed_images: {thumbnails: 0}", "embed_images: thumbnails: Input should be greater"),
    Case("thumbnails of too many", f"embed_images: {{thumbnails: {2**63}}}", "thumbnails: Input should be less"),
    Case("a threshold of none", "find_neighbours: {duplicate_score: 0}", "duplicate_score: Input should be"),
    Case("a sheet twice", "report_run: {words: [a, a]}", "words: found 'a' twice, wanted each once"),
    Case("a map of no image", "report_run: {images_on_map: 0}", "images_on_map: Input should be"),
    Case("a map of too many", "report_run: {images_on_map: 10001}", "images_on_map: Input should be"),
    Case("a rate of none", "report_run: {false_discoveries: 0}", "false_discoveries: Input should be"),
    Case("a rate of all", "report_run: {false_discoveries: 1}", "false_discoveries: Input should be"),
    Case("machines for nothing", "report_run: {usd_an_hour: 0}", "usd_an_hour: Input should be"),
    Case("no queries", "search_images: {queries: []}", "no queries: set `queries` or `queries_file`"),
    Case("a blank warehouse", "label_images: {}\nwarehouse: ' '", "warehouse: found ' ', wanted a text that is not"),
    Case("a section that is null", "search_images:", "no queries: set `queries` or `queries_file`"),
    Case("a section that is a number", "label_images: 0", "label_images: found int, wanted a mapping"),
    Case("a section twice", "catalog_images: {}\ncatalog_images: {}", "line 2: 'catalog_images' stands twice"),
    Case("a key twice", "catalog_images: {sources: [a], sources: [b]}", "line 1: 'sources' stands twice"),
    Case("the warehouse twice", "label_images: {}\nwarehouse: a\nwarehouse: b", "line 3: 'warehouse' stands twice"),
    Case("a key that is no text", "? [a]\n: b", "line 1: a key that is no plain text", job=LABEL),
    Case("a date that is none", "label_images: {k: 2026-02-30}", "k: Input should be a valid integer"),
    Case("dates in a list", "search_images: {queries: [2026-02-30], k: 0}", "k: Input should be greater"),
    Case("an explicit timestamp", "label_images: {k: !!timestamp 2026-02-30}", "not YAML: "),
    Case("a Python object", "label_images: !!python/object/apply:os.getcwd []", "not YAML: "),
    Case("octal that is none", "label_images: {k: 0o7}", "k: Input should be a valid integer"),
    Case("nested too deeply", "label_images: " + "[" * 9999, "one thing in the other too often"),
    Case("many aliases", ALIASES, "unknown sections ['a', 'b'", job=LABEL),
    Case("a variable that is not set", "label_images: {}\nwarehouse: ${NOPE}", "line 2: ${NOPE} is not set"),
    Case("a variable without braces", "label_images: {}\nwarehouse: $W/x", "line 2: found $W, wanted ${NAME}"),
    Case("another default", "label_images: {}\nwarehouse: ${W:=x}", "line 2: found ${W:=x}, wanted ${NAME}"),
    Case("a variable that is empty", "label_images: {}\nwarehouse: ${W}", "warehouse: Input should be a", {"W": ""}),
    Case("a variable, a list", "label_images: {}\nwarehouse: ${W}", "warehouse: Input should be a", {"W": "[a]"}),
    Case("a variable in quotes", "label_images: {candidates: '${W}'}", "candidates: Input should be", {"W": "[a]"}),
    Case("a variable, a mapping", "label_images: ${W}", "found str, wanted a mapping", {"W": "{k: 3}"}),
    Case("a variable that is no Unicode", "label_images: {}\nwarehouse: ${W}", "wanted Unicode text", {"W": "\udcff"}),
    Case("half a surrogate pair", 'label_images: {candidates: ["\\ud800"]}', "wanted Unicode text"),
    Case("a NUL", 'label_images: {candidates: ["\\0"]}', "without NUL"),
    Case("not UTF-8", "label_images: {} # caf\udce9", "cannot read the configuration"),
    Case("below a value", "label_images: {k: 3}", "k is a value, not a section", more=("--set", "label_images.k.x=1")),
    Case("set below null", "embed_images:", "engine.batch_size: ", more=BATCH),
    Case("a group that is null", "embed_images: {engine:}", "engine.batch_size: ", more=BATCH),
    Case("set without a value", "label_images: {}", "wanted section.key=value", more=("--set", "label_images.k")),
    Case("set to a mapping", "label_images: {}", "warehouse: Input should", more=("--set", "warehouse=a: b")),
    Case("a run id that leads out", "label_images: {}", "run: String should match", more=("--run", "../../x")),
    Case("a run id of 300 letters", "label_images: {}", "run: String should match", more=("--run", "x" * 300)),
    Case("a run id that is a pattern", "label_images: {}", "run: String should match", more=("--run", "r*")),
    Case("a split twice", f"evaluate_model: {{splits: [{{name: a, {SPLIT}}}, {{name: a, {SPLIT}}}]}}", "'a' twice"),
    Case("a split without a name", f"evaluate_model: {{splits: [{{name: '', {SPLIT}}}]}}", "splits.0.name: "),
    Case("a split of no labels", f"evaluate_model: {{splits: [{{name: a, {SPLIT}, candidates: []}}]}}", "candidates"),
    Case("a group of nothing", "evaluate_model: {splits: [{name: a, labelled: {source: x, only: y}}]}", "only: "),
    Case("a pair of no split", f"evaluate_model: {{splits: [{{name: a, {SPLIT}}}], {PAIR}}}", "wanted two of ['a']"),
    Case("a pair of one split", f"evaluate_model: {{splits: [{{name: b, {SPLIT}}}], {PAIR}}}", "found 'b' and 'b'"),
    Case("a pair called as a split", f"evaluate_model: {{splits: [{{name: p, {SPLIT}}}], {PAIR}}}", "found 'p' twice"),
    Case("hops without a hierarchy", f"evaluate_model: {{splits: [{{name: a, {HOPS}}}]}}", "names wordnet alone"),
    Case("a hierarchy for nothing", "evaluate_model: {hierarchy: x}", "hierarchy: is for hp@k of `splits`"),
    Case("a margin for nothing", f"{TRAIN}, margin: 0.5}}", "margin: has no effect with weights"),
    Case("half a preprocessing", f"{TRAIN}, resize: 300}}", "resize and crop: found one of them, wanted both"),
    Case("a sha256 that is none", f"{TRAIN}, weights_sha256: abc}}", "weights_sha256: String should match"),
    Case("a number that is none", f"{TRAIN}, temperature: .nan}}", "temperature: Input should be a valid number"),
    Case("a number that is infinite", f"{TRAIN}, temperature: 1e999}}", "temperature: Input should be a finite"),
    Case("a count that is true", "label_images: {k: true}", "k: found true, wanted a number"),
    Case("list lengths that are true", "evaluate_model: {ks: [true]}", "ks.0: found true, wanted a number"),
    Case("a share that is true", "publish_run: {min_recall: true}", "min_recall: found true, wanted a number"),
    Case("a count that no table holds", "label_images: {k: 9999999999}", "k: Input should be less than or equal"),
    Case("a stage twice", "run_nightly: {stages: [label_images, label_images]}", "'label_images' twice"),
]  # fmt: skip

TERMINAL = [
    Case("a sheet without an ending", ["search", "lion", "--warehouse", "{tmp}", "--sheet", "out"], "wanted .png"),
    Case("words and a picture", ["search", "lion", "--image", "x", "--warehouse", "{tmp}"], "and --image x, wanted"),
    Case("two questions", ["words", "--near", "a", "--known", "b", "--warehouse", "{tmp}"], "--near and --known"),
    Case("a warehouse without a name", ["status", "--warehouse", ""], "found nothing, wanted a path or URI"),
    Case("a picture without a name", ["search", "image: ", "--warehouse", "{tmp}"], "wanted a picture's URI"),
    Case("a run that leads out", ["verify", "../../x", "--warehouse", "{tmp}"], "no table has a committed run ../../x"),
    Case("to discard what is no text", ["discard", "\udcff", "--warehouse", "{tmp}"], "found the run id '\\udcff'"),
    Case("a minus before nothing", ["search", "- lion", "--warehouse", "{tmp}"], "found '- lion' at letter 1"),
    Case("a demo without a name", ["demo", "--folder", ""], "argument --folder: found nothing, wanted a path"),
    Case("a demo in a device", ["demo", "--folder", "/dev/null"], "--folder /dev/null: cannot be drawn into: Not a"),
    Case("to discard what leads out", ["discard", "../../x", "--warehouse", "{tmp}"], "found the run id '../../x'"),
]  # fmt: skip


def queries(name: str, content: bytes, words: str | None, file: str = "queries") -> Case:
    section = {"queries": [], "queries_file": f"{{tmp}}/{file.split('/')[0]}"}
    return Case(f"queries: {name}", json.dumps(section), words, files={file: content}, job=SEARCH)


def classes(name: str, content: bytes, words: str) -> Case:
    section = {"classes": "{tmp}/classes"}
    return Case(f"classes: {name}", json.dumps(section), words, files={"classes": content}, job="build_vocabulary")


def hierarchy(name: str, content: bytes, words: str) -> Case:
    section = {"hierarchy": "{tmp}/tree"}
    return Case(f"hierarchy: {name}", json.dumps(section), words, files={"tree": content}, job="build_vocabulary")


def split(name: str, words: str, labelled: dict, files: dict[str, bytes], **more: list[str]) -> Case:
    section = {"splits": [{"name": "../../x [54]?", "labelled": {"source": "{tmp}", **labelled}, **more}]}
    return Case(f"split: {name}", json.dumps(section), words, files=files, job=EVALUATE)


def labels(name: str, content: bytes, words: str) -> Case:
    return split(f"labels: {name}", words, {"source": "{tmp}/labels", "kind": "table"}, {"labels": content})


HEADER = b"index\twnid\tname\tsynonyms\n"
TREE_OF = {"id": ["a"], "members": ["x"], "hypernyms": [""], "definition": [""]}
TREE = b"id\tmembers\thypernyms\tdefinition\n"
TABLES = [
    queries("dates", parquet(query=[date(2024, 1, 1)]), "'2024-01-01' is no word"),
    queries("numbers", b"query\n7\n", "'7' is no word"),
    queries("bytes", parquet(query=[b"lion"]), None),
    queries("bytes that are no text", parquet(query=[b"\xff"]), "column query: binary that is no text"),
    queries("lists", parquet(query=[["lion"]]), "found the list ['lion'] as a query, wanted a text"),
    queries("the column twice", parquet(query=["a"], query_=["b"]), "2 times 'query'"),
    queries("another column", b"q\nlion\n", "no 'query'; wanted query once"),
    queries("Latin-1", "query\ncafé\n".encode("latin-1"), "are no UTF-8; wanted Parquet, or text in UTF-8"),
    queries("UTF-16 with its mark", "query\nlion\n".encode("utf-16"), None),
    queries("UTF-16 without", "query\nlion\n".encode("utf-16-le"), "a NUL at character 1"),
    queries("a header alone", b"query\n", "found no query in 0 rows, wanted at least one"),
    queries("blank rows", b"query,x\n,1\n  ,2\n", "found no query in 2 rows"),
    queries("nulls", parquet(query=pa.nulls(3)), "found no query in 3 rows"),
    queries("nothing", b"", "empty, wanted a table"),
    queries("a cut Parquet", parquet(query=["lion"])[:-8], "not a readable parquet table"),
    queries("a folder of parts", b"query\nlion\n", None, "queries/part-0.csv"),
    queries("a folder in a folder", b"query\nlion\n", "found folders ['day=1']", "queries/day=1/part-0.csv"),
    queries("a word that is unknown", b"query\n../../x\n", "'../../x' is no word"),
    classes("Latin-1", HEADER + "0\tn1\tcafé\t\n".encode("latin-1"), "are no UTF-8"),
    classes("no header", b"0\tn1\tlion\t\n", "found a header and no classes"),
    classes("a wnid twice", HEADER + b"0\tn1\tlion\t\n1\tn1\ttulip\t\n", "row 2: found ['1', 'n1', 'tulip']"),
    classes("a page", b"<!DOCTYPE html>\n<html>\n", "looks like a web page"),
    classes("a list for a name", parquet(i=[0], w=["n1"], n=[["lion"]], s=[""]), "row 1: found ['0', 'n1', ['lion']]"),
    classes("a blank name", HEADER + b"0\tn1\t \t\n", "row 1: found ['0', 'n1', ' ']"),
    hierarchy("lists of ids", parquet(**TREE_OF | {"id": [["a"]]}), "column id: found the list ['a'], wanted texts"),
    hierarchy("lists of texts", parquet(**TREE_OF | {"definition": [["d"]]}), "column definition: found the list"),
    hierarchy("a broken name", parquet(**TREE_OF).replace(b"members", b"m\xff\xffbers"), "not a readable parquet"),
    hierarchy("no members", TREE + b"n1\t\t\tx\n", "none of its 1 synsets has a member, wanted words"),
    hierarchy("a header alone", TREE, "none of its 0 synsets has a member"),
    hierarchy("a synset twice", TREE + b"n1\ta\t\tx\nn1\tb\t\tx\n", "found the synsets ['n1'] without id or twice"),
    hierarchy("a column twice", b"id\tmembers\tmembers\thypernyms\tdefinition\n", "no ['members'] or not once"),
    hierarchy("UTF-16 without a mark", TREE.decode().encode("utf-16-be"), "a NUL at character 0"),
    labels("the column twice", parquet(uri=["a"], label=["x"], label_=["y"]), "2 times 'label'"),
    labels("bytes that are no text", parquet(uri=["a"], label=[b"\xff"]), "column label: binary that is no text"),
    labels("no uri", parquet(uri=[None], label=["x"]), "row 1: found no uri"),
    labels("lists of nulls", parquet(uri=["a"], label=[[None]]), "1 images and not one label"),
    labels("Latin-1", "uri,label\na,café\n".encode("latin-1"), "are no UTF-8"),
    labels("another scheme", b"uri,label\ngopher://x,lion\n", "found scheme 'gopher'"),
    labels("pictures that are not embedded", b"uri,label\n/none.jpg,lion\n", "split ../../x [54]?: no labelled image"),
    split("an unknown candidate", "]?: no label for ['zebra']", {}, {"a/x": b""}, candidates=["lion", "zebra"]),
    split("a folder twice", "'a' stands twice, wanted once", {"names": "{tmp}/n"}, {"n": b'{"a": "x", "a": "y"}'}),
    split("two forms of é", "'é' twice", {"names": "{tmp}/n"}, {"n": b'{"\\u00e9": "x", "e\\u0301": "y"}'}),
    split("half a pair", "found '\\ud800', wanted Unicode", {"names": "{tmp}/n"}, {"n": b'{"a": "\\ud800"}'}),
    split("names in Latin-1", "are no UTF-8", {"names": "{tmp}/n"}, {"n": b'{"caf\xe9": "x"}'}),
    split("names nested deeply", "not JSON", {"names": "{tmp}/n"}, {"n": b"[" * 99999}),
]  # fmt: skip
