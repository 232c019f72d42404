"""A page that is one HTML file and needs nothing beside it: the head that all have, then its own; knows no pictures."""

import html
from importlib.resources import files
from string import Template
from typing import Any


def fill(package: str, name: str, title: str, **parts: Any) -> str:
    """The template of a package filled in. The title is escaped here; `parts` are HTML already."""
    said = html.escape(title)
    head = _template("devise.show", "head.html").substitute(title=said).rstrip()
    return _template(package, name).substitute(head=head, title=said, **parts)


def _template(package: str, name: str) -> Template:
    return Template(files(package).joinpath(name).read_text(encoding="utf-8"))
