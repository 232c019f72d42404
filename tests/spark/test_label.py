"""The count of a night's labels: rows of an image too many or too few stop it, in the smallest corpus too."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from devise.config import LabelConfig
from devise.errors import AccountingError
from devise.spark.frame import schemas
from devise.spark.frame.live import Change
from devise.spark.stages import label

K = 5


@pytest.mark.parametrize(("n_before", "fits"), [(5, True), (6, False), (4, False)])
def test_labels_of_an_image_too_many_or_too_few_are_refused(spark, tmp_path, monkeypatch, n_before, fits):
    rows = [
        (number, "u", rank, "sail", None, 0.5, 2.0, None, None, None, None, "m", "v")
        for number in range(n_before)
        for rank in range(1, K + 1)
    ]
    labels = spark.createDataFrame(rows, schemas.LABELS)
    none = spark.createDataFrame([], schemas.EMBEDDINGS)
    change = Change("r2", none.select("image_id", "uri", "etag"), 0, 0, none)
    monkeypatch.setattr(label, "find_change", lambda task: change)
    monkeypatch.setattr(label, "_labels_before", lambda task, change: SimpleNamespace(details={"n_images": 5}))
    monkeypatch.setattr(label, "labelled_by", lambda task: "c d")
    monkeypatch.setattr(label, "label_images", lambda *given: spark.createDataFrame([], label.MADE))
    embeddings = SimpleNamespace(base=False, details={"embedded": 0, "unchanged": 5})
    task = SimpleNamespace(
        config=LabelConfig(warehouse=str(tmp_path), run="r3", k=K, images_per_label=0), spark=spark,
        model_id="m", vocabulary_id="v",
        inputs={"embeddings": [embeddings]}, input=lambda table: SimpleNamespace(rows=80),
        read=lambda table: labels,
        written={}, details={}, folder=lambda table: f"file://{tmp_path}/{table}", named=lambda what: nullcontext(),
    )  # fmt: skip
    if fits:
        label.write_labels(task)
        assert task.details == {"n_images": 5, "labelled": 0, "labelled_by": "c d"}
    else:
        with pytest.raises(AccountingError, match=f"{n_before * K} label rows of 5 images, 0 of them new"):
            label.write_labels(task)
