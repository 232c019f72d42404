"""The demo, with two pictures a noun, to its last line: what it draws, runs, shows and advises to do next."""

import re
import shlex

import pytest

from devise import cli
from devise.sample import demo
from devise.warehouse import pointer


@pytest.mark.parametrize("store", ["file", pytest.param("s3", marks=pytest.mark.slow)])
def test_the_demo_runs_to_its_end_and_what_it_advises_works(store, started, one_session, tmp_path, monkeypatch, capsys):
    if store == "s3" and isinstance(started[1], str):
        pytest.skip(started[1])
    monkeypatch.setattr(demo, "PICTURES_PER_NOUN", 2)
    for name in ("SAMPLE", "BOOK", "TABLES", "DRAWN"):
        monkeypatch.setenv(name, "")  # the demo sets them for good
    place = started[1].make_bucket("drawn") if store == "s3" else None
    demo.run(tmp_path, place)
    told = capsys.readouterr().out
    warehouse = f"{place}/warehouse" if place else str(tmp_path / "warehouse")
    assert pointer.read(warehouse).run == demo.RUN
    assert re.search(r"held out, drawn +hit@5 .* n = 54\n", told) and "too_many_pixels  bomb.png" in told
    assert {path.name for path in (tmp_path / "sheets").iterdir()} >= {"labels-of-held-out-nouns.png"}
    page = (tmp_path / "night.html").read_text(encoding="utf-8")
    assert f"<h1>Night {demo.RUN}</h1>" in page and str(tmp_path / "night.html") in told
    served, asked = (shlex.split(line, comments=True) for line in told.splitlines()[-2:])
    assert cli._parser().parse_args(served[1:]).do is cli.serve and served[-2:] == asked[2:4]
    cli.main(asked[1:])
    hits = capsys.readouterr().out.splitlines()
    assert len(hits) == 10 and all(re.fullmatch(r" +\d+ +-?0\.\d{3}  \S.*\.\w+", hit) for hit in hits)
