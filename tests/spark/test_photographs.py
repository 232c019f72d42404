"""The night of conf/photographs.yaml on a fixed sample of real photographs; skipped where there are none."""

import pyarrow.parquet as pq
from accept import RUN, night

SAMPLE = "catalog_images.include=['*[05].jpg']"


def test_a_night_on_real_photographs_labels_as_well_as_measured_and_is_live(spark, data, tmp_path):
    found = night(spark, data, tmp_path / "w", [SAMPLE])
    assert found["images"].rows >= 600 and found["rejects"].rows == 0
    assert found["embeddings"].rows == found["images"].rows
    rows = pq.read_table(tmp_path / "w/metrics" / f"run={RUN}", partitioning=None).to_pylist()
    hit = {(row["split"], row["k"]): row for row in rows if row["name"] == "hit"}
    # Measured of all 2,626 photographs of the split; here of a fifth of them.
    for k, reference in ((1, 0.414), (5, 0.716), (10, 0.823), (20, 0.920)):
        row = hit["zero-shot, given", k]
        assert row["n"] >= 300 and abs(row["value"] - reference) < 0.06
    assert hit["zero-shot, vocabulary", 20]["value"] > 0.2
    labels = pq.read_table(tmp_path / "w/labels" / f"run={RUN}", partitioning=None).to_pylist()
    first = [row for row in labels if row["rank"] == 1]
    assert len(first) == found["images"].rows and all(row["answer"] is None for row in labels if row["rank"] > 1)
    assert sum(row["answer"] is not None for row in first) > 0.6 * len(first)
    assert all(row["answer_probability"] >= 0.85 for row in first if row["answer"] is not None)
    assert all(0 <= row["probability"] <= 1 for row in labels)
    assert all(row["value"] >= 0.95 for row in rows if row["name"] == "recall")
    assert (tmp_path / "w/live/current/live.json").exists()
