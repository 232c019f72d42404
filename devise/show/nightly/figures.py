"""Charts as inline SVG that take their colours from the page, each with its numbers; knows no tables of ours.

Vega-Lite draws them (altair, vl-convert): no script is left in the page. Colours are CSS variables, so that a chart
reads in a light page and in a dark one; a title, a description and the table serve who does not see it.
"""

import html
import re
from collections.abc import Sequence
from typing import Any

from devise.show.nightly.facts import Change, Facts, Figure

WIDTH = 300
"""Of the plot, in pixels: with its labels it fits a phone without being made small."""
BARS = 12
RUNS = 14
"""Runs back, at most, that a chart of figures shows."""
SPLITS = 6
KS = (1, 5)
CONFIG = {
    "background": None,
    "font": "sans-serif",
    "padding": {"left": 16, "top": 5, "right": 12, "bottom": 5},
    "view": {"stroke": None},
    "axis": {
        **dict.fromkeys(("labelColor", "titleColor"), "currentColor"),
        **dict.fromkeys(("gridColor", "domainColor", "tickColor"), "var(--line)"),
        **{"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 150},
    },
    "legend": {**dict.fromkeys(("labelColor", "titleColor"), "currentColor"), "labelFontSize": 12, "titleFontSize": 12},
    "bar": {"color": "var(--one)"},
}
SERIES = ["var(--one)", "var(--two)"]
ROLES = re.compile(r' (?:role|aria-[a-z]+|xmlns(?::xlink)?|class|version)="[^"]*"')


def phases(facts: Facts) -> str:
    """Seconds of each job; rows and requests are in the table."""
    rows = [(one.job, round(one.seconds, 1), one.rows, one.requests, one.retries) for one in facts.phases]
    drawn = _bars([{"job": job, "seconds": seconds} for job, seconds, *_ in rows], "job", "seconds", "seconds")
    told = f"{len(rows)} jobs of this night before its page, in order; rows and requests are in the table."
    heads = ("job", "seconds", "rows written", "requests", "of them again")
    return figure(drawn, "Seconds of each job", told, heads, rows)


def hits(facts: Facts) -> list[str]:
    """A chart a split: hit@1 and hit@5 of the last runs with their 95 % intervals."""
    found = [one for one in facts.figures if one.name == "hit" and one.k in KS]
    splits = list(dict.fromkeys(one.split for one in reversed(found)))[:SPLITS]
    return [_over_runs([one for one in found if one.split == split], f"hit@k: {split}") for split in sorted(splits)]


def recall(facts: Facts) -> str:
    """recall@10 of the index against exact search by kind of query, over the last runs; nothing where there is none."""
    last = [one for one in facts.figures if one.name == "recall" and one.k == 10 and one.run == facts.run]
    if not last:
        return ""
    import altair as alt

    values = [{"kind": one.split, "recall": one.value, "low": one.low, "high": one.high} for one in last]
    base = alt.Chart(alt.Data(values=values)).encode(y=alt.Y("kind:N", title=None, sort=None))
    scale = alt.Scale(domain=[min(0.8, min(one.low for one in last)), 1.0])
    axis = alt.X("recall:Q", title="recall@10", scale=scale)
    chart = base.mark_rule(stroke="var(--one)", strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    chart += base.mark_circle(size=90, color="var(--one)", opacity=1).encode(x=axis)
    told = "Recall of the index against exact search, by kind of query, with its 95 % interval."
    rows = [(one.split, f"{one.value:.3f}", f"{one.low:.3f} to {one.high:.3f}", f"{one.n:,}") for one in last]
    return figure(_svg(chart), "Recall of the index", told, ("queries", "recall@10", "interval", "n"), rows)


def hubs(facts: Facts) -> str:
    """The labels that stand first for most live images."""
    rows = [(label, n, round(100 * n / facts.n_live, 2)) for label, n in facts.hub_labels[:BARS]]
    values = [{"label": label, "percent": share} for label, _, share in rows]
    told = f"The {len(rows)} labels that stand first for most of {facts.n_live:,} live images, in percent of these."
    drawn = _bars(values, "label", "percent", "percent of live images")
    return figure(drawn, "Commonest labels", told, ("label", "images", "percent"), rows)


def drift(changes: Sequence[Change]) -> str:
    """Labels that are called drift: how many times their share among what came is the share among what stood."""
    import altair as alt

    shown = sorted((one for one in changes if one.drifts), key=lambda one: one.factor)
    if len(shown) > 2 * BARS:
        shown = [*shown[:BARS], *shown[-BARS:]]
    rows = [(one.label, f"{one.factor:.2f}", one.came, one.now, f"{one.chance:.1e}") for one in reversed(shown)]
    values = [{"label": one.label, "factor": one.factor, "from": 1.0} for one in reversed(shown)]
    colour = alt.condition("datum.factor > 1", alt.value(SERIES[0]), alt.value(SERIES[1]))
    chart = alt.Chart(alt.Data(values=values)).mark_bar().encode(
        x=alt.X("factor:Q", title="times its share before", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=5)),
        x2="from:Q", y=alt.Y("label:N", title=None, sort=None), color=colour,
    )  # fmt: skip
    told = "How many times as large a label's share is among tonight's images as among the others; fell below 1."
    heads = ("label", "times", "tonight", "now in all", "chance")
    return figure(_svg(chart), "Labels that drift", told, heads, rows)


def figure(svg: str, title: str, told: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A chart with its title, and its numbers as a table that opens; all texts are escaped here."""
    said = f"<title>{html.escape(title)}</title><desc>{html.escape(told)}</desc>"
    opened = re.sub(r"(<svg[^>]*>)", lambda match: match[1] + said, svg, count=1)
    return (
        f'<figure class="chart"><figcaption><b>{html.escape(title)}</b> {html.escape(told)}</figcaption>{opened}'
        f"<details><summary>Numbers: {html.escape(title)}</summary>{table(heads, rows)}</details></figure>"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> str:
    """An HTML table; numbers stand to the right; all texts are escaped here."""
    top = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in heads)
    named = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    lines = "".join("<tr>" + "".join(map(_cell, row, range(len(row)))) + "</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{html.escape(caption or "numbers")}"><table>{named}'
        f"<thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _cell(value: Any, column: int) -> str:
    text = f"{value:,}" if isinstance(value, int | float) else str(value)
    if column == 0:
        return f'<th scope="row">{html.escape(text)}</th>'
    number = isinstance(value, int | float) or re.fullmatch(r"[\d.,e+-]+%?", text)
    return f"<td{' class=n' if number else ''}>{html.escape(text)}</td>"


def _bars(values: Sequence[dict], name: str, number: str, title: str) -> str:
    import altair as alt

    chart = alt.Chart(alt.Data(values=values)).mark_bar().encode(
        x=alt.X(f"{number}:Q", title=title, axis=alt.Axis(tickCount=5)), y=alt.Y(f"{name}:N", title=None, sort=None)
    )  # fmt: skip
    return _svg(chart)


def _over_runs(found: Sequence[Figure], title: str) -> str:
    import altair as alt

    runs = list(dict.fromkeys(one.run for one in found))[-RUNS:]
    shown = [one for one in found if one.run in runs]
    values = [
        {"run": one.run, "k": f"hit@{one.k}", "hit": 100 * one.value, "low": 100 * one.low, "high": 100 * one.high}
        for one in shown
    ]
    names = [f"hit@{k}" for k in KS]
    colour = alt.Color("k:N", title=None, scale=alt.Scale(domain=names, range=SERIES), legend=alt.Legend(orient="top"))
    across = alt.X("run:O", title=None, axis=alt.Axis(labelAngle=-40), sort=None)
    base = alt.Chart(alt.Data(values=values)).encode(x=across, color=colour)
    up = alt.Scale(domain=[0, 100])
    chart = base.mark_rule(strokeWidth=2, opacity=0.6).encode(
        y=alt.Y("low:Q", scale=up, title="percent"), y2="high:Q"
    ) + base.mark_line(point=alt.OverlayMarkDef(size=50), strokeWidth=2).encode(
        y=alt.Y("hit:Q", scale=up), shape=alt.Shape("k:N", legend=None), strokeDash=alt.StrokeDash("k:N", legend=None)
    )
    told = "Percent of pictures whose true label is among the first k, with the 95 % interval, run by run."
    rows = [
        (one.run, one.k, f"{one.value:.1%}", f"{one.low:.1%} to {one.high:.1%}", f"{one.n:,}")
        for one in reversed(shown)
    ]
    return figure(_svg(chart, 200), title, told, ("run", "k", "hit", "interval", "n"), rows)


def _svg(chart: Any, height: int | None = None) -> str:
    """The chart drawn, without the roles that Vega gives its parts: the whole is one image with a title."""
    import vl_convert

    chart = chart.properties(width=WIDTH, **({} if height is None else {"height": height}))
    drawn = vl_convert.vegalite_to_svg(chart.to_dict() | {"config": CONFIG})
    drawn = ROLES.sub("", drawn)
    return re.sub(r'<svg width="([\d.]+)" height="[\d.]+"', r'<svg role="img" style="max-width:\1px"', drawn, count=1)
