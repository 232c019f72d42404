"""The night's page assembled: one HTML file that needs nothing beside it; knows no tables."""

import base64
import html
from collections.abc import Mapping, Sequence
from itertools import accumulate, takewhile

from devise.show import onefile
from devise.show.nightly import figures, mapped
from devise.show.nightly.facts import PRICES, Facts, Tile, usd_of

MOST_CHANGES = 40
"""Labels in the table of what changed: those that drift first."""


def write(facts: Facts) -> str:
    """The page as HTML; names, labels and addresses of images are escaped, whatever they hold."""
    sections = {
        "What ran": _ran(facts),
        "Rejected": _rejected(facts),
        "How good": _quality(facts),
        "What changed": _changed(facts),
        "Pictures for words": _sheets(facts),
        "Drawn at random": _drawn(facts),
        "Map": _map(facts),
    }
    ids = {name: name.lower().replace(" ", "-") for name in sections}
    return onefile.fill(
        "devise.show.nightly",
        "page.html",
        f"Night {facts.run}",
        width=mapped.WIDTH,
        side=mapped.SIDE,
        columns=mapped.COLUMNS,
        told=html.escape(f"Model {facts.model_id}, vocabulary {facts.vocabulary_id}."),
        contents="".join(f'<a href="#{ids[name]}">{name}</a>' for name in sections),
        sections="\n".join(f'<h2 id="{ids[name]}">{name}</h2>\n{text}' for name, text in sections.items()),
    )


def _ran(facts: Facts) -> str:
    counts, speed = facts.counts, facts.images_a_second
    told = {"live images": facts.n_live, **{name: counts[name] for name in ("new", "changed", "removed", "rejected")}}
    pairs = [(name, f"{n:,}") for name, n in told.items()]
    pairs += [
        ("minutes", f"{facts.seconds / 60:.1f}"),
        ("images a second", f"{speed:,.0f}" if speed else "none embedded"),
    ]
    cards = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in pairs)
    parts = " + ".join(f"{counts[part]:,} {part}" for part in ("embedded", "rejected", "unchanged", "carried"))
    return (
        f'<dl class="facts">{cards}</dl><p>{counts["listed"]:,} listed = {parts}.</p>'
        f'<div class="charts">{figures.phases(facts)}<div>{_cost(facts)}</div></div>'
    )


def _cost(facts: Facts) -> str:
    rows = [(purpose, operation, n) for purpose, each in facts.requests.items() for operation, n in each.items()]
    asked = figures.table(("for", "operation", "requests"), rows, "Requests to S3") if rows else ""
    total, lines = usd_of(facts.requests), []
    if rows:
        lines.append(f"Requests: {total:.4f} USD, at {PRICES}. What Spark's own connector asked is not counted.")
    else:
        lines.append("No request went to S3.")
    if facts.usd_an_hour is not None:
        hours = facts.seconds / 3600
        usd = hours * facts.usd_an_hour
        lines.append(
            f"Machines: {hours:.2f} h at {facts.usd_an_hour:g} USD an hour, as the settings say: {usd:.2f} USD."
        )
    else:
        lines.append("Machines: not priced; report_run.usd_an_hour would say what they cost.")
    return f"<h3>Requests and cost</h3>{asked}" + "".join(f'<p class="note">{html.escape(line)}</p>' for line in lines)


def _rejected(facts: Facts) -> str:
    if not facts.rejects:
        return "<p>No image was rejected this night.</p>"
    parts = []
    for code in facts.rejects:
        tiles = [Tile(uri, _name(uri), [message]) for uri, message in code.images]
        head = f"<h3>{html.escape(code.code)} <i>{code.n:,}</i></h3>"
        parts.append(f"<div>{head}{_tiles(tiles, facts.thumbnails)}</div>")
    return f'<div class="charts">{"".join(parts)}</div>'


def _quality(facts: Facts) -> str:
    charts, measured = [*figures.hits(facts), figures.recall(facts)], ""
    if not any(charts):
        measured = "<p>Nothing was measured this night: evaluate_model is no stage of it.</p>"
    charts.append(figures.hubs(facts))
    if facts.curve is not None:
        data = base64.b64encode(facts.curve.encode()).decode()
        told = "How far probabilities hold, and answers, on classes that the model was made to forget."
        charts.append(
            f'<figure class="chart plain wide"><figcaption><b>Calibration</b> {told}</figcaption>'
            f'<img src="data:image/svg+xml;base64,{data}" alt="{told}"></figure>'
        )
    reached = accumulate(n for _, n in facts.hub_labels)
    half = 1 + sum(1 for total in takewhile(lambda total: 2 * total < facts.n_live, reached))
    listed = [Tile(uri, f"{n:,} labels", [_name(uri)]) for uri, n in facts.hub_images]
    found = (
        f"<h3>Images that most words find</h3><p>Among the first ten of so many of {facts.n_lists:,} labels' lists.</p>"
    )
    return (
        f"{measured}<p>{len(facts.hub_labels):,} labels stand first for an image; {half:,} of them for half of all.</p>"
        f'<div class="charts">{"".join(charts)}</div>'
        f"{found + _tiles(listed, facts.thumbnails) if listed else ''}"
    )


def _changed(facts: Facts) -> str:
    if facts.changes is None:
        return f"<p>{html.escape(facts.unchanged_why)}</p>"
    drifting = [one for one in facts.changes if one.drifts]
    told = (
        f"{len(facts.changes):,} labels were tested, {len(drifting):,} drift: their share among tonight's images "
        f"differs from that among the others by more than chance ({facts.rate:.0%} of them at most may be chance) and "
        "by a quarter at least. Images that came together are alike: an album is drift too."
    )
    order = sorted(facts.changes, key=lambda one: (not one.drifts, one.chance, one.label))[:MOST_CHANGES]
    rows = [
        (
            one.label,
            *("" if one.before is None else one.before, one.now, one.came, f"{one.factor:.2f}", f"{one.chance:.1e}"),
            ("drift: rose" if one.factor > 1 else "drift: fell") if one.drifts else "noise",
        )
        for one in order
    ]
    heads = ("label", "before", "now", "tonight", "times its share", "chance", "verdict")
    chart = f'<div class="charts">{figures.drift(facts.changes)}</div>' if drifting else ""
    return f"<p>{told}</p>{chart}{figures.table(heads, rows, 'Labels, the surest first')}"


def _sheets(facts: Facts) -> str:
    parts = []
    for sheet in facts.sheets:
        told = f'<p class="note">{html.escape(sheet.told)}</p>' if sheet.told else ""
        parts.append(f"<h3>{html.escape(sheet.query)}</h3>{told}{_tiles(sheet.tiles, facts.thumbnails)}")
    return "".join(parts) or "<p>No word is configured that the vocabulary has.</p>"


def _drawn(facts: Facts) -> str:
    return f"<p>Live images, others every night, with what is told of them.</p>{_tiles(facts.drawn, facts.thumbnails)}"


def _map(facts: Facts) -> str:
    if not facts.mapped:
        return "<p>Too few images are live for a map.</p>"
    found = mapped.places(facts.mapped)
    told = (
        f"{len(facts.mapped):,} of {facts.n_live:,} live images, the same every night; the map is that of run "
        f"{facts.map_run}: an image keeps its place as long as the model stays."
    )
    rows = [(one.name, one.n) for one in found]
    return (
        f"<p>{html.escape(told)}</p>{mapped.draw(facts.mapped, facts.thumbnails)}"
        f"<details><summary>The places as a table</summary>{figures.table(('place', 'images'), rows)}</details>"
    )


def _tiles(tiles: Sequence[Tile], thumbnails: Mapping[str, bytes]) -> str:
    drawn = "".join(_tile(tile, thumbnails.get(tile.uri)) for tile in tiles)
    return f'<div class="tiles pictures">{drawn}</div>' if tiles else ""


def _tile(tile: Tile, picture: bytes | None) -> str:
    inside = '<span class="none">cannot be shown</span>'
    if picture is not None:
        data = base64.b64encode(picture).decode()
        alt = html.escape(", ".join([tile.name, *tile.lines[:1]]))
        inside = f'<img src="data:image/webp;base64,{data}" alt="{alt}" decoding="async" width="120" height="120">'
    lines = "".join(f'<span title="{html.escape(line)}">{html.escape(line)}</span>' for line in tile.lines)
    title = html.escape(tile.uri)
    return f'<figure title="{title}">{inside}<figcaption><b>{html.escape(tile.name)}</b>{lines}</figcaption></figure>'


def _name(uri: str) -> str:
    """The last two parts of an address."""
    return "/".join(uri.rsplit("/", 2)[-2:])
