"""The night of conf/photographs.yaml on a fixed sample of real photographs; skipped where there are none."""

import pyarrow.parquet as pq
from accept import RUN, night

SAMPLE = "catalog_images.include=['*[05].jpg']"


def test_a_night_on_real_photographs_reproduces_conse_and_is_live(spark, data, tmp_path):
    found = night(spark, data, tmp_path / "w", [SAMPLE])
    assert found["images"].rows >= 600 and found["rejects"].rows == 0
    assert found["embeddings"].rows == found["images"].rows
    rows = pq.read_table(tmp_path / "w/metrics" / f"run={RUN}", partitioning=None).to_pylist()
    hit = {(row["split"], row["k"]): row for row in rows if row["name"] == "hit"}
    # The reference for all 2,626 photographs of the split; here for a fifth of them.
    for k, reference in ((1, 0.346), (5, 0.637), (10, 0.749), (20, 0.851)):
        row = hit["zero-shot, given", k]
        assert row["n"] >= 300 and abs(row["value"] - reference) < 0.06
    assert hit["zero-shot, vocabulary", 20]["value"] > 0.15
    assert all(row["value"] >= 0.95 for row in rows if row["name"] == "recall")
    assert (tmp_path / "w/live/current/live.json").exists()
