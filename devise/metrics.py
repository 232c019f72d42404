"""TEMPORARY"""
import numpy as np
def hit_at_k(predicted_NK, truth_N, k):
    return float((np.asarray(predicted_NK)[:, :k] == np.asarray(truth_N)[:, None]).any(axis=1).mean())
def hp_at_k(predicted_NK, truth_N, correct_sets, k):
    return float(np.mean([len(set(row[:k].tolist()) & set(c)) / k for row, c in zip(predicted_NK, correct_sets)]))
def recall_at_k(found_QK, found_scores, exact_QK, exact_scores, k):
    return float(np.mean([len(set(a[:k]) & set(b[:k])) / k for a, b in zip(found_QK.tolist(), exact_QK.tolist())]))
def interval(p, n):
    z = 1.96
    c = (p + z*z/(2*n)) / (1 + z*z/n)
    h = z*np.sqrt(p*(1-p)/n + z*z/(4*n*n)) / (1 + z*z/n)
    return max(0.0, float(c-h)), min(1.0, float(c+h))
