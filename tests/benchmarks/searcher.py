"""What the client's answers take: to open, first and later answers, memory; and where filters change their way.

    python tests/benchmarks/searcher.py make FOLDER VECTORS CLASSES ROWS    a published warehouse of made images
    python tests/benchmarks/searcher.py ask FOLDER                          seconds and memory of answers
    python tests/benchmarks/searcher.py filters FOLDER                      ways to hold a filter, by how many pass

VECTORS is a text file of word vectors, CLASSES a table of class names. Embeddings are made as in query_kinds.py; labels
and the lists of `word_images` are drawn, for how long it takes to find them does not depend on which they are. Tables
and index are written by the project's own writers. Answers are asked for on one core and with one thread.
"""

import json
import os
import platform
import subprocess
import sys
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED, RUN, N_ASKED, K = 0, "r1", 200, 10
LISTED, LABELS, SHARD_ROWS, BLOCK_ROWS = 200, 5, 500_000, 50_000
BEGAN = datetime(2026, 1, 1, tzinfo=timezone.utc)
DIM, N_TUNING = 300, 100
LIST_FILES, LIST_GROUP_ROWS = 20, 8_192


def unit(array_ND):
    return (array_ND / np.linalg.norm(array_ND, axis=-1, keepdims=True)).astype(np.float32)


def told_machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{platform.machine()} {name}, one core of {os.cpu_count()}, {date.today()}"


def embed(word_VD, class_CD, n, rng):
    """Embeddings as ConSE makes them, and the class that each is nearest to."""
    centre_N = rng.integers(len(class_CD), size=n)
    near = np.argsort(-(class_CD @ class_CD.T), axis=1)[:, :10]
    weight = rng.dirichlet([0.5] * 10, size=n)
    mean = np.einsum("nt,ntd->nd", weight, class_CD[near[centre_N]])
    return unit(unit(mean) + 0.3 / np.sqrt(class_CD.shape[1]) * rng.normal(size=mean.shape)), centre_N


def make(folder: str, vectors: str, classes: str, n_rows: int) -> None:
    from devise.spark.frame import schemas
    from devise.warehouse import pointer
    from devise.words import vocabulary, wordvectors
    from devise.words.classes import read_classes
    from devise.words.nouns import fold, readable

    rng, warehouse = np.random.default_rng(SEED), str(Path(folder).absolute())
    source = wordvectors.read(vectors)
    word_VD, words = unit(source.vectors), [readable(word) for word in source.words]
    names = {fold(name) for one in read_classes(classes) for name in one.names}
    class_CD = word_VD[[row for row, word in enumerate(source.words) if fold(word) in names]]
    blocks = [embed(word_VD, class_CD, min(BLOCK_ROWS, n_rows - start), rng) for start in range(0, n_rows, BLOCK_ROWS)]
    embedding_ND, class_N = (np.concatenate(part) for part in zip(*blocks, strict=True))
    id_N = np.sort(np.unique(rng.integers(2**63 - 1, size=2 * n_rows))[::2][:n_rows])
    uris = pa.array(
        [f"s3://bucket/{number % 10}/{number:04d}/{row:08x}.jpg" for row, number in enumerate(class_N.tolist())]
    )
    n_words = len(words)
    known = vocabulary.Vocabulary(
        np.arange(n_words, dtype=np.int32), words, [f"n{row:08d}" for row in range(n_words)], [[] for _ in words],
        word_VD, np.zeros(n_words, bool), ["exact"] * n_words,
    )  # fmt: skip
    place = folder_of(warehouse, "vocabulary")
    pq.write_table(vocabulary.to_arrow(known), place / "part-0.parquet", compression="zstd")
    commit(warehouse, "vocabulary", {"part-0.parquet": n_words}, dim=word_VD.shape[1])

    days = BEGAN + timedelta(days=365) * np.sort(rng.random(n_rows))[rng.permutation(n_rows)]
    columns = [pa.array(id_N), uris, pa.nulls(n_rows, pa.string()), pa.array(np.full(n_rows, 50_000)), pa.array(days)]
    write_parts(warehouse, "images", schemas.IMAGES, [columns], n_rows)
    labels = pa.array(words)

    def label_blocks():
        for start in range(0, n_rows, BLOCK_ROWS):
            part, n = slice(start, start + BLOCK_ROWS), min(BLOCK_ROWS, n_rows - start)
            each = np.repeat(np.arange(n), LABELS)
            label = labels.take(pa.array(rng.zipf(1.3, n * LABELS) % n_words))
            number = [pa.array(rng.random(n * LABELS, dtype=np.float32)) for _ in range(4)]
            rank = np.tile(np.arange(1, LABELS + 1), n)
            answer = pa.array(label.to_numpy(zero_copy_only=False), mask=rank > 1)
            yield [
                *(pa.array(id_N[part]).take(pa.array(each)), uris.slice(start, n).take(pa.array(each)), pa.array(rank)),
                *(label, label, *number[:3], answer, answer, number[3]),
                *(pa.array(["m" * 16] * n * LABELS), pa.array(["v" * 16] * n * LABELS)),
            ]

    order = np.argsort(np.array(words, object)).tolist()
    n_listed = min(LISTED, n_rows)

    place, names = folder_of(warehouse, "word_images"), {}
    for number, some in enumerate(np.array_split(order, LIST_FILES)):
        row = rng.integers(n_rows, size=(len(some), n_listed)).ravel()
        score = -np.sort(-rng.random((len(some), n_listed), dtype=np.float32), axis=1).ravel()
        each = pa.array(np.repeat(some, n_listed))
        table = pa.table(
            [
                *(labels.take(each), each.cast(pa.int32()), labels.take(each)),
                *(pa.array(np.tile(np.arange(1, n_listed + 1, dtype=np.int32), len(some))), pa.array(id_N[row])),
                *(uris.take(pa.array(row)), pa.array(score), pa.array(score)),
                *(pa.array(["m" * 16] * len(row)), pa.array(["v" * 16] * len(row))),
            ],
            names=schemas.WORD_IMAGES.names,
        )
        names[f"part-{number}.parquet"] = table.num_rows
        file = place / f"part-{number}.parquet"
        pq.write_table(table, file, compression="zstd", row_group_size=LIST_GROUP_ROWS)
    lists = commit(warehouse, "word_images", names, columns=schemas.WORD_IMAGES.names)
    beside = {"secondary": {"word_images": lists}, "deny": "none"}
    write_parts(warehouse, "labels", schemas.LABELS, label_blocks(), n_rows * LABELS, **beside)
    make_index(warehouse, id_N, uris, embedding_ND, word_VD)
    pairs = [(table, RUN) for table in ("images", "labels", "vocabulary", "index", "word_images")]
    pointer.swap(warehouse, pairs, RUN, None)


def make_index(warehouse, id_N, uris, embedding_ND, word_VD) -> None:
    from devise.search import index, kinds, mapped, shards
    from devise.search.filling import fill_shard, write_shard
    from devise.search.template import is_exact, train_template, write_template

    n_rows, dim = embedding_ND.shape
    rng, place = np.random.default_rng(SEED + 1), folder_of(warehouse, "index")
    kind = kinds.choose_kind(n_rows, dim, int(os.environ.get("MEMORY_BYTES", 8 * 2**30)))
    trained = kinds.count_training_rows(n_rows, kind.nlist, 640_000)
    template = train_template(embedding_ND[rng.permutation(n_rows)[:trained]], kind, SEED, threads=2)
    write_template(template, place / "template-0.faiss")
    names, opened, n_shards = {"template-0.faiss": -1}, [], -(-n_rows // SHARD_ROWS)
    for number in range(n_shards):
        part = shards.number_of_ids(id_N, n_shards) == number
        name = f"shard-{number:05d}-0"
        rows = id_N[part], embedding_ND[part]
        shard = fill_shard(template, [rows], threads=2)
        write_shard(shard, place / f"{name}.faiss")
        table = pa.table([id_N[part], uris.filter(pa.array(part)), ["1"] * int(part.sum())], schema=mapped.SCHEMA)
        with pa.ipc.new_file(place / f"{name}.arrow", mapped.SCHEMA) as file:
            file.write_table(table.combine_chunks(), 1 << 14)
        names |= {f"{name}.faiss": int(part.sum()), f"{name}.arrow": -1}
        exact = None
        if not is_exact(shard):
            list(mapped.write_through([rows], place / f"{name}.i16"))
            names |= {f"{name}.i16": -1}
            exact = mapped.ExactRows(place / f"{name}.i16", len(rows[0]), dim)
        opened.append((index.read_shard(place / f"{name}.faiss", template), exact))
    a, b = (word_VD[rng.choice(len(word_VD), N_TUNING, replace=False)] for _ in range(2))
    image = unit(embedding_ND[rng.choice(n_rows, N_TUNING)] + 0.01 * rng.normal(size=(N_TUNING, dim)))
    nprobe, tuning = {}, {}
    for name, query_QD in {"image": image, "word": a, "words": a + b, "differences": a - b}.items():
        query_QD, steps = unit(query_QD), kinds.nprobe_steps(max(1, kind.nlist))
        exact_QK, _ = index.exact_search(query_QD, id_N, embedding_ND, K)
        recall = {}
        for step in steps:
            prepared = index.prepare(template, query_QD, step)
            found_QK, _ = index.search([one for one, _ in opened], prepared, K, exact=[rows for _, rows in opened])
            hits = [len({*x} & {*y}) / K for x, y in zip(found_QK.tolist(), exact_QK.tolist(), strict=True)]
            recall[step] = float(np.mean(hits))
            if recall[step] >= 0.95:
                break
        settled = kinds.settle_nprobe(recall, 0.95)
        nprobe[name], tuning[name] = settled.nprobe, {"recall": settled.recall}
    told = {"kind": kind.factory, "nprobe": nprobe, "tuning": tuning if kind.nlist else {}, "dim": dim}
    print(f"{n_rows:,} rows, {told}")
    commit(warehouse, "index", names, base=True, n_shards=n_shards, layout=shards.LAYOUT, **told)


def folder_of(warehouse: str, table: str) -> Path:
    place = Path(warehouse) / table / f"run={RUN}"
    place.mkdir(parents=True)
    return place


def write_parts(warehouse, table, schema, blocks, n_rows, secondary=None, **config) -> None:
    from devise.spark.frame.parts import write_parts

    place = folder_of(warehouse, table)
    batches = (pa.RecordBatch.from_arrays(list(columns), names=schema.names) for columns in blocks)
    receipts = list(write_parts(batches, f"file://{place}", schema, "part"))
    names = {receipt["path"]: receipt["rows"] for receipt in receipts}
    assert sum(names.values()) == n_rows
    commit(warehouse, table, names, columns=schema.names, config=config, secondary=secondary)


def commit(warehouse, table, names, base=False, columns=(), config=None, secondary=None, **details) -> object:
    from devise.store import scratch
    from devise.warehouse import manifest
    from devise.warehouse.manifest import File, Manifest

    place = Path(warehouse) / table / f"run={RUN}"
    files = [
        File(path=name, size_bytes=(place / name).stat().st_size, sha256=scratch.hash_file(place / name), rows=rows)
        for name, rows in names.items()
    ]
    made = Manifest(
        table=table, run=RUN, parent=0, rows=sum(max(0, rows) for rows in names.values()), columns=list(columns),
        files=files, inputs={}, inputs_hash="", config=config or {}, config_hash="", base=base, code_version="0",
        started_at=0, finished_at=0, details=details, secondary=secondary or {},
    )  # fmt: skip
    if table not in manifest.COMMITTED_BY:
        manifest.write(warehouse, made)
    return made


QUESTIONS = {
    "a word": ("word", {}),
    "a word, with labels": ("word", {"labels": True}),
    "a word in other letters": ("WORD", {}),
    "a pair": ("pair", {}),
    "a pair, with labels": ("pair", {"labels": True}),
    "a difference": ("difference", {}),
    "an image's vector": ("vector", {}),
    "a stored image": ("stored", {}),
    "a stored image, with labels": ("stored", {"labels": True}),
    "a pair under a folder of 0.1 %": ("pair", {"only": "few"}),
    "a pair under a folder of 10 %": ("pair", {"only": "some"}),
    "a pair since half a year": ("pair", {"only": "many"}),
    "a pair with a label": ("pair", {"only": "label"}),
    "a word since half a year": ("word", {"only": "many"}),
}
"""What is asked -> how, and the settings of each question."""


def ask(folder: str) -> None:
    """Each question in a process of its own: to open, first answer, later ones, memory."""
    print(
        f"{told_machine()}; load {os.getloadavg()[0]:.1f}\n\n| question | import and open, s | first, ms | "
        "median, ms | p99, ms | median of CPU, ms | own memory, MB |\n|---|---|---|---|---|---|---|"
    )
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for name in QUESTIONS:
        words = [sys.executable, __file__, "one", folder, name]
        said = subprocess.run(words, capture_output=True, text=True, check=True, env=alone).stdout
        found = json.loads(said.splitlines()[-1])
        print(
            f"| {name} | {found['open']:.2f} | {found['first']:.0f} | {found['median']:.1f} | {found['p99']:.1f} | "
            f"{found['cpu']:.1f} | {found['memory']:.0f} |",
            flush=True,
        )


def one(folder: str, name: str) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    started = time.perf_counter()
    from devise.search.filters import Filter
    from devise.search.searcher import Searcher

    searcher = Searcher.open(folder)
    opened = time.perf_counter() - started
    rng = np.random.default_rng(SEED + 2)
    table = pq.read_table(f"{folder}/vocabulary/run={RUN}/part-0.parquet", columns=["label"])
    known = table.column("label").to_pylist()
    words = [word for word in known if word.isascii() and word.islower() and " + " not in word]
    part = next(Path(f"{folder}/images/run={RUN}").glob("part-*"))
    ids = pq.ParquetFile(part).read_row_group(0, columns=["image_id"]).column("image_id").to_numpy()
    filters = {
        "few": Filter(under="s3://bucket/7/0007/"), "some": Filter(under="s3://bucket/7/"),
        "many": Filter(since=date(2026, 7, 1)), "label": Filter(label=known[3]), None: None,
    }  # fmt: skip
    how, told = QUESTIONS[name]
    told = {"k": K, "labels": told.get("labels", False), "only": filters[told.get("only")]}
    questions = {
        "word": lambda: searcher.ask(asked[0], **told),
        "WORD": lambda: searcher.ask(asked[0].upper(), **told),
        "pair": lambda: searcher.ask(" + ".join(asked), **told),
        "difference": lambda: searcher.ask(" - ".join(asked), **told),
        "vector": lambda: searcher.search(vector_D, "image", **told),
        "stored": lambda: searcher.similar(image_id, **told),
    }
    taken, cpu = [], []
    for _ in range(N_ASKED + 1):
        asked, image_id = rng.choice(words, 2, replace=False), int(rng.choice(ids))
        vector_D = np.eye(1, DIM, dtype=np.float32)[0]
        if how == "vector" and taken:
            vector_D = searcher.index.vector_of(image_id)
        began, used = time.perf_counter(), time.process_time()
        answer = questions[how]()
        taken.append(1e3 * (time.perf_counter() - began))
        cpu.append(1e3 * (time.process_time() - used))
        assert len(answer.hits) == K or told["only"]
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found = {"open": opened, "first": taken[0], "median": np.median(taken[1:]), "p99": np.quantile(taken[1:], 0.99)}
    found |= {"cpu": np.median(cpu[1:]), "memory": int(status["RssAnon"].split()[0]) / 1000}
    print(json.dumps(found))


def filters(folder: str) -> None:
    """The ways to hold a filter, by the share that passes: all that pass are scored, or more are searched for."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from devise.search import opened
    from devise.search.filters import Passing
    from devise.search.searcher import Searcher

    searcher = Searcher.open(folder)
    index, rng = searcher.index, np.random.default_rng(SEED + 3)
    ids = [part.sidecar.starting_with("") for part in index.parts]
    words = searcher.vocabulary.vectors
    n = sum(map(len, ids))
    print(f"{told_machine()}\n\n{n:,} images, {index.run.details['kind']}; median ms of CPU of 10 pairs, k = {K}\n")
    print("| pass | of all | all are scored | more are searched for | recall@10 of these |\n|---|---|---|---|---|")
    for share in (0.003, 0.01, 0.02, 0.05, 0.1, 0.3):
        passing = Passing([np.sort(rng.choice(part, max(1, int(share * len(part))), replace=False)) for part in ids])
        taken, found, hits = {0: [], len(passing): []}, {}, []
        for _ in range(10):
            query_D = unit(words[rng.integers(len(words))] + words[rng.integers(len(words))])
            for few in taken:  # so many may pass that all of them are scored
                opened.FEW = few
                began = time.process_time()
                found[few] = index.search(query_D, "words", K, passing).image_id_K.tolist()
                taken[few].append(time.process_time() - began)
            hits.append(len({*found[0]} & {*found[len(passing)]}) / len(found[len(passing)]))
        dropping, among = (1e3 * float(np.median(one)) for one in taken.values())
        print(f"| {len(passing):,} | {share:.2%} | {among:.1f} | {dropping:.1f} | {np.mean(hits):.3f} |", flush=True)


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    if command == "make":
        make(*words[:3], int(words[3]))
    else:
        {"ask": ask, "one": one, "filters": filters}[command](*words)
