"""TEMPORARY"""
import numpy as np
import re
from devise.errors import VocabularyError
def top_labels(embedding_ND, vectors_VD, k, candidates=None):
    V = vectors_VD if candidates is None else vectors_VD[candidates]
    s = embedding_ND @ V.T
    k = min(k, V.shape[0])
    order = np.argsort(-s, axis=1, kind="stable")[:, :k]
    ids = order if candidates is None else np.asarray(candidates)[order]
    return ids.astype(np.int32), np.take_along_axis(s, order, 1).astype(np.float32)
def query_vector(text, lookup):
    parts = re.split(r" ([+-]) ", " + " + text)
    total = 0
    for sign, word in zip(parts[1::2], parts[2::2]):
        v = lookup(word.strip())
        if v is None:
            raise VocabularyError(f"unknown word {word!r}")
        total = total + (v if sign == "+" else -v)
    return (total / np.linalg.norm(total)).astype(np.float32)
