"""Whatever is fed to the command line before Spark starts: it is done, or it is one line and exit code 2."""

import contract
import pytest

from devise.spark.frame import command


@pytest.mark.parametrize("case", contract.SETTINGS + contract.TERMINAL, ids=str)
def test_what_is_fed_is_refused_in_one_line_before_spark_starts(case, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "start_session", lambda *_: pytest.fail("Spark was started"))
    contract.run(case, tmp_path, capsys, monkeypatch)
    assert not (tmp_path / "w" / "images").exists()


def test_no_two_cases_have_one_name():
    names = [case.name for case in contract.SETTINGS + contract.TERMINAL + contract.TABLES]
    assert len(names) == len(set(names))
