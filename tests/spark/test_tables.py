"""Which paths Spark is given for the files of committed runs; no Spark is started."""

from types import SimpleNamespace

import pytest

from devise.spark.frame import tables
from devise.warehouse import manifest
from devise.warehouse.manifest import File


@pytest.mark.parametrize("own_manifest", [True, False])
def test_a_run_of_many_files_is_read_as_a_folder_wherever_its_manifest_lies(tmp_path, monkeypatch, own_manifest):
    """That of rejects lies with their embeddings, that of features with their model."""
    monkeypatch.setattr(tables, "MANY_FILES", 2)
    run = SimpleNamespace(table="rejects", run="r2")
    folder = tmp_path / "rejects" / "run=r2"
    folder.mkdir(parents=True)
    files = [File(path=f"part-{number}.parquet", size_bytes=1, sha256="0" * 64, rows=1) for number in range(2)]
    for file in files:
        (folder / file.path).touch()
    if own_manifest:
        (folder / manifest.NAME).touch()
    given = [(run, file) for file in files]
    singly = [f"file://{folder}/part-0.parquet", f"file://{folder}/part-1.parquet"]
    assert tables._paths(str(tmp_path), given) == [f"file://{folder}"]
    assert tables._paths(str(tmp_path), given[:1]) == singly[:1]
    (folder / "part-of-another-attempt.parquet").touch()
    assert tables._paths(str(tmp_path), given) == singly
    (folder / "part-of-another-attempt.parquet").unlink()
    (folder / "part-1.parquet").unlink()
    assert tables._paths(str(tmp_path), given) == singly  # Spark is to miss it
