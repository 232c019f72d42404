"""How a command ended, as a file: written, read, cleared; a torn one is refused by its place."""

import pytest

from devise.errors import ManifestError
from devise.warehouse import outcome


def test_an_outcome_is_written_over_an_older_one_read_and_cleared(store):
    uri = outcome.place(f"{store}/w", "r1", "embed")
    told = outcome.Outcome(run="r1", stages=["a"], done=[], exit_code=2, line="x", started_at=1, finished_at=2)
    assert outcome.read(uri) is None
    outcome.write(uri, told)
    later = told.model_copy(update={"exit_code": 0, "line": "", "done": ["a"]})
    outcome.write(uri, later)
    assert outcome.read(uri) == later
    outcome.clear(uri)
    outcome.clear(uri)
    assert outcome.read(uri) is None


def test_what_is_no_outcome_and_what_is_no_run_are_refused(tmp_path):
    uri = outcome.place(str(tmp_path), "r1", "embed")
    (tmp_path / "_staging/outcomes/run=r1").mkdir(parents=True)
    (tmp_path / "_staging/outcomes/run=r1/embed.json").write_text('{"run": "r1"}')
    with pytest.raises(ManifestError, match="embed.json: not an outcome of this version: Field required"):
        outcome.read(uri)
    with pytest.raises(ManifestError, match="found the run id '../x'"):
        outcome.place(str(tmp_path), "../x", "embed")
