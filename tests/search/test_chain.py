"""Nights of any changes: base, deltas, tombstones, compaction and rollback answer as an index made anew. No Spark."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_index import DIM, rows, unit
from test_shards import run
from tiny_warehouse import write_sidecar

from devise.search import index, mapped, shards
from devise.search.filling import fill_shard, write_shard
from devise.search.kinds import choose_kind
from devise.search.mapped import Sidecar
from devise.search.template import is_exact, train_template, write_template

N_IDS, N_STATES, K = 12, 3, 5
IMAGE_ID_N = np.sort(np.random.default_rng(3).choice(2**63 - 1, size=N_IDS, replace=False))
EMBEDDING_NSD = rows(N_IDS * N_STATES, seed=4)[1].reshape(N_IDS, N_STATES, DIM)
"""Of each picture what it may look like: a night changes it, and may change it back."""
QUERY_QD = unit(np.random.default_rng(5).normal(size=(8, DIM)))
TEMPLATES = {factory: train_template(EMBEDDING_NSD.reshape(-1, DIM), choose_kind(36, DIM, 2**30, factory), seed=0)
             for factory in ("Flat", "SQ4", "IVF4,Flat", "IVF4,SQ8", "Pad32,IVF4,SQ4")}  # fmt: skip


class Chain:
    """Runs as nights write them, and what is live with each."""

    def __init__(self, folder, factory):
        self.place, self.template = folder, TEMPLATES[factory]
        self.runs, self.states = [], [{}]
        self.n_nights = 0

    def night(self, live, n_shards, compact=False):
        """What is live becomes this, by a delta, or by a base where there is none or the chain is compacted."""
        before, self.n_nights = self.states[-1], self.n_nights + 1
        if base := compact or not self.runs:
            self.runs, self.states, before = [], [{}], {}
        name = f"r{self.n_nights}"
        folder = self.place / name
        folder.mkdir()
        gained = sorted(pair for pair in live.items() if pair not in before.items())
        lost = sorted(row for row, state in before.items() if live.get(row) != state)
        files, ranges_N = [], shards.number_of_ids(IMAGE_ID_N, n_shards)
        if base:
            write_template(self.template, folder / "template-a.faiss")
        for number in range(n_shards):
            mine = [(row, state) for row, state in gained if ranges_N[row] == number]
            files += self._shard(folder, f"shard-{number:05d}-a", mine) if mine else []
        if lost:
            files.append(shards.tombstones_name(0, 1, "a"))
            pq.write_table(pa.table({"image_id": IMAGE_ID_N[lost]}), folder / files[-1])
        files += ["template-a.faiss"] * base
        self.runs.append(run(name, self.runs, base=base, files=files, n_shards=n_shards))
        self.states.append(dict(live))

    def rollback(self):
        """Yesterday's chain is live again."""
        if len(self.runs) > 1:
            self.runs.pop()
            self.states.pop()

    def _shard(self, folder, name, pairs):
        picked, states = (np.array(part) for part in zip(*pairs, strict=True))
        ids_N, embedding_ND, files = (
            IMAGE_ID_N[picked],
            EMBEDDING_NSD[picked, states],
            [f"{name}.faiss", f"{name}.arrow"],
        )
        write_sidecar(folder / f"{name}.arrow", ids_N, [f"file:///{i}/{s}" for i, s in zip(ids_N, states, strict=True)])
        batches = [(ids_N, embedding_ND)]
        if not is_exact(self.template):
            batches, files = mapped.write_through(batches, folder / f"{name}.i16"), [*files, f"{name}.i16"]
        write_shard(fill_shard(self.template, batches), folder / f"{name}.faiss")
        return files

    def assert_answers_are_those_of_an_index_made_anew(self):
        live = self.states[-1]
        found = shards.of_chain([f"file://{self.place}/{one.run}" for one in self.runs], self.runs)
        if len(self.runs) > 1:
            assert [one.run for one in shards.chain(self.runs)] == [one.run for one in self.runs]
        opened = [index.read_shard(shard.index.fetch(), self.template) for shard in found]
        hidden = [shard.hidden() for shard in found]
        exact = [shard.open_exact(one.ntotal, one.d) for shard, one in zip(found, opened, strict=True)]
        near = index.search(opened, index.prepare(self.template, QUERY_QD, 10**6), K, hidden, exact)
        picked, states = (np.array(part, np.int64) for part in (list(live), list(live.values())))
        wanted = index.exact_search(QUERY_QD, IMAGE_ID_N[picked], EMBEDDING_NSD[picked, states], K)
        np.testing.assert_allclose(near[1], wanted[1], atol=4e-5)
        np.testing.assert_array_equal(near[0], wanted[0])
        uris = shards.find_uris([Sidecar(shard.sidecar.fetch()) for shard in found], hidden, near[0])
        look = dict(zip(IMAGE_ID_N[picked].tolist(), states.tolist(), strict=True))
        assert uris == {i: f"file:///{i}/{look[i]}" for i in np.unique(near[0][near[0] >= 0]).tolist()}


LIVE = st.dictionaries(st.integers(0, N_IDS - 1), st.integers(0, N_STATES - 1), max_size=N_IDS)
STEPS = st.lists(st.one_of(st.tuples(LIVE, st.integers(1, 3), st.booleans()), st.none()), min_size=1, max_size=7)


@pytest.mark.parametrize("factory", TEMPLATES)
@settings(max_examples=15)
@given(steps=STEPS)
def test_any_nights_answer_as_an_index_made_anew(factory, tmp_path_factory, steps):
    """A step is what is then live, in how many shards, and whether compacted; or a rollback."""
    chain = Chain(tmp_path_factory.mktemp("chain"), factory)
    for step in steps:
        chain.rollback() if step is None else chain.night(*step)
        if chain.runs:
            chain.assert_answers_are_those_of_an_index_made_anew()
