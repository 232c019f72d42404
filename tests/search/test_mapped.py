"""Files beside a shard: an id is found where it lies, exact rows score as they are, and what is torn is one line."""

import numpy as np
import pytest
from test_index import DIM, KINDS, assert_same_but_for_ties, filled, rows, template_of, unit
from tiny_warehouse import write_sidecar

from devise.errors import IndexingError
from devise.search import index, mapped
from devise.search.mapped import ExactRows, Sidecar
from devise.search.template import is_exact


def keep(folder, image_id_N, embedding_ND):
    """Exact rows of these, which need not be in order."""
    order = np.argsort(image_id_N)
    batches = [(image_id_N[part], embedding_ND[part]) for part in np.array_split(order, 3)]
    assert list(mapped.write_through(batches, folder / "s.i16")) == batches
    return ExactRows(folder / "s.i16", *embedding_ND.shape)


@pytest.mark.parametrize("group_rows", [1, 7, 100, 1000])
def test_every_id_is_found_in_its_row_and_others_are_not(tmp_path, group_rows):
    image_id_N = np.sort(np.random.default_rng(0).choice(2**63 - 1, size=100, replace=False))
    sidecar = Sidecar(write_sidecar(tmp_path / "s", image_id_N, [f"file:///{i}" for i in image_id_N], group_rows))
    asked = np.concatenate([image_id_N[::-1], image_id_N - 1, image_id_N + 1, [0, 2**63 - 1, -1]])
    wanted = [*range(99, -1, -1), *[-1] * 203]
    assert len(sidecar) == 100 and sidecar.rows_of(asked).tolist() == wanted
    assert sidecar.uris(asked) == {image_id: f"file:///{image_id}" for image_id in image_id_N.tolist()}
    assert sidecar.rows_of(np.empty(0, np.int64)).tolist() == []


def test_candidates_are_scored_by_their_exact_rows_in_blocks_too(tmp_path, monkeypatch):
    image_id_N, embedding_ND = rows(200)
    exact = keep(tmp_path, image_id_N, embedding_ND)
    query_QD, row_QM = unit(np.random.default_rng(1).normal(size=(9, DIM))), np.arange(9 * 20).reshape(9, 20)
    asked = image_id_N[row_QM]
    asked[3, 5:], asked[4] = -1, -1
    wanted = np.where(asked < 0, -np.inf, np.einsum("qd,qmd->qm", query_QD, embedding_ND[row_QM]))
    for block in (1, 3 * DIM, 20 * DIM, 10**9):
        monkeypatch.setattr(mapped, "BLOCK_NUMBERS", block)
        np.testing.assert_allclose(exact.scores(query_QD, asked), wanted, atol=4e-5)


@pytest.mark.parametrize("factory", [kind for kind in KINDS if kind not in ("Flat", "HNSW16", "IVF16,Flat")])
def test_a_kind_that_loses_precision_answers_exactly_by_its_exact_rows(factory, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "CANDIDATES", 400)
    image_id_N, embedding_ND = rows(400)
    shard, exact = filled(factory, image_id_N, embedding_ND), keep(tmp_path, image_id_N, embedding_ND)
    queries = index.prepare(template_of(shard), unit(np.random.default_rng(1).normal(size=(30, DIM))), 16)
    hidden_H = image_id_N[::3]
    left = ~np.isin(image_id_N, hidden_H)
    found = index.search([shard], queries, 10, [hidden_H], [exact])
    wanted = index.exact_search(queries.asked_QD, image_id_N[left], embedding_ND[left], 10)
    np.testing.assert_allclose(found[1], wanted[1], atol=4e-5)
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found[0], wanted[0], strict=True)]) > 9.9
    everything = index.search([shard], queries, 1000, None, [exact])  # more than candidates, and than rows
    assert (np.sort(everything[0][:, :400]) == np.sort(image_id_N)).all() and (everything[0][:, 400:] == -1).all()


def test_copies_of_one_picture_are_in_order_of_id_and_fewer_rows_than_candidates_do(tmp_path):
    _, embedding_ND = rows(60)
    image_id_N = np.random.default_rng(2).choice(2**63 - 1, size=60, replace=False)
    embedding_ND[10:50] = embedding_ND[10]
    shard, exact = filled("IVF4,SQ4", image_id_N, embedding_ND), keep(tmp_path, image_id_N, embedding_ND)
    found = index.search([shard], index.prepare(template_of(shard), embedding_ND[10:11], 4), 30, None, [exact])
    assert found[0][0].tolist() == np.sort(image_id_N[10:50])[:30].tolist()
    assert_same_but_for_ties(
        (found[0], found[1].round(3)), index.exact_search(embedding_ND[10:11], image_id_N, embedding_ND, 30)
    )


def test_which_kinds_hold_their_rows():
    _, embedding_ND = rows(600)
    held = {factory: is_exact(template_of(filled(factory, np.arange(600), embedding_ND))) for factory in KINDS}
    assert [factory for factory, exact in held.items() if exact] == ["Flat", "HNSW16", "IVF16,Flat", "IVF16,SQfp16"]


def test_what_is_torn_or_another_shard_s_is_one_line(tmp_path):
    image_id_N, embedding_ND = rows(41, dim=5)
    exact = keep(tmp_path, image_id_N, embedding_ND)
    whole = write_sidecar(tmp_path / "whole", image_id_N, ["file:///"] * 41).read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with mapped.pa.ipc.new_file(tmp_path / "other", mapped.pa.schema([("image_id", mapped.pa.int64())])):
        pass
    for broken, words in [
        (lambda: Sidecar(tmp_path / "half"), "half: no sidecar of a shard"),
        (lambda: Sidecar(tmp_path / "absent"), "absent: no sidecar of a shard"),
        (lambda: Sidecar(tmp_path / "other"), r"found columns \['image_id'\], wanted"),
        (lambda: ExactRows(tmp_path / "s.i16", 40, 5), "s.i16: found 744 bytes, wanted 720: 40 rows of 5 numbers"),
        (lambda: ExactRows(tmp_path / "s.i16", 41, 6), "wanted 824: 41 rows of 6"),
        (lambda: exact.scores(embedding_ND[:1], np.array([[3]])), "s.i16: found no row of some ids"),
        (lambda: exact.scores(embedding_ND[:1], np.array([[2**63 - 1]])), "s.i16: found no row of some ids"),
    ]:
        with pytest.raises(IndexingError, match=words) as error:
            broken()
        assert "\n" not in str(error.value)
