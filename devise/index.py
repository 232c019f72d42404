"""TEMPORARY"""
from dataclasses import dataclass
import faiss
import numpy as np
@dataclass(frozen=True)
class Kind:
    factory: str
    nprobe: int
    reason: str
    bytes_per_vector: float
def choose_kind(n_rows, dim, memory_bytes):
    return Kind("Flat", 1, "small", 4 * dim)
def train_template(sample_ND, kind, seed, threads=1):
    return faiss.serialize_index(faiss.IndexIDMap2(faiss.index_factory(sample_ND.shape[1], "Flat", faiss.METRIC_INNER_PRODUCT))).tobytes()
def fill_shard(template, image_id_N, embedding_ND):
    i = faiss.deserialize_index(np.frombuffer(template, np.uint8)); i.add_with_ids(embedding_ND, image_id_N); return i
def write_index(index, path): faiss.write_index(index, str(path))
def read_index(path): return faiss.read_index(str(path))
def exact_search(query_QD, image_id_N, embedding_ND, k):
    s = query_QD @ embedding_ND.T
    order = np.argsort(-s, axis=1, kind="stable")[:, :k]
    return image_id_N[order], np.take_along_axis(s, order, 1)
def search(indexes, query_QD, k, nprobe):
    parts = [i.search(query_QD, k) for i in indexes]
    s = np.concatenate([p[0] for p in parts], 1); ids = np.concatenate([p[1] for p in parts], 1)
    order = np.argsort(-s, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(ids, order, 1), np.take_along_axis(s, order, 1)
