"""The page: one HTML file that needs nothing beside it, light and dark, on a desk and on a telephone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from bench.report import svg
from bench.report.documents import Document, Figure, Peer, Peers, Run, Scenario
from bench.report.style import STYLE
from bench.report.words import COLUMNS, commit, machine, number, pairs, parameters, spread

#: Parts of a cost that are not the server's, or are the sum of the others.
_APART = ("total", "generator")
#: Parts in the order of an event's way; others come behind.
_WAY = ("worker", "flusher", "supervisor", "store")


def page(documents: Sequence[Run | Peers]) -> str:
    """All documents on one page, in the order given."""
    body = "\n".join(_run(found) if isinstance(found, Run) else _peers(found) for found in documents)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>TrackFlow: measurements</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n"
        "<footer>Medians of the repetitions; the thin lines are their range, from the lowest to the highest. "
        "Made by <code>python -m bench report</code>.</footer>\n</main>\n</body>\n</html>\n"
    )


def _head(document: Document, title: str, lead: str) -> str:
    facts = [("began", document.began), ("commit", commit(document))]
    groups = (
        ("machine", pairs(document.machine)),
        ("parameters", parameters(document)),
        ("versions", pairs(document.versions)),
    )
    details = "".join(f"<section><h3>{name}</h3>{_facts(rows)}</section>" for name, rows in groups)
    return (
        f"<header><h1>{escape(title)}</h1><p class=lead>{lead}</p>"
        f"<p class=where>{escape(machine(document))}</p>{_facts(facts)}"
        f"<details><summary>Machine, parameters, versions</summary><div class=groups>{details}</div></details></header>"
    )


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>" for a, b in rows) + "</dl>"


def _card(title: str, about: str, *parts: str) -> str:
    return f"<figure><figcaption><h3>{escape(title)}</h3><p>{escape(about)}</p></figcaption>{''.join(parts)}</figure>"


def _legend(names: Sequence[str]) -> str:
    keys = "".join(
        f'<span><i class="k{index % svg.COLOURS + 1}"></i>{escape(name)}</span>' for index, name in enumerate(names)
    )
    return f"<p class=legend>{keys}</p>" if len(names) > 1 else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Cells and heads are HTML already."""

    def cell(index: int, words: str, tag: str) -> str:
        return f"<{tag}{' class=l' if index < left else ''}>{words}</{tag}>"

    top = "".join(cell(index, words, "th") for index, words in enumerate(head))
    lines = "".join(f"<tr>{''.join(cell(index, words, 'td') for index, words in enumerate(row))}</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"


def _value(found: Figure | None, unit: bool = False) -> str:
    if found is None:
        return ""
    around = spread(found.min, found.max)
    shown = number(found.median) + (f" <small>{escape(found.unit)}</small>" if unit else "")
    return shown + (f"<br><small>{escape(around)}</small>" if around else "")


# Runs of scenarios.


def _run(run: Run) -> str:
    broken = [scenario.name for scenario in run.scenarios if scenario.holds is False]
    lead = (
        f"<b class=bad>acked and stored differ in {escape(', '.join(broken))}</b>" if broken
        else f"{len(run.scenarios)} scenarios"
    )  # fmt: skip
    lead += "<br><b class=bad>a quick run: the figures mean nothing</b>" if run.quick else ""
    lead += "".join(
        f"<br>{escape(name)} {what}: {escape(why)}"
        for what, found in (("<b class=bad>failed</b>", run.failed), ("was skipped", run.skipped))
        for name, why in found.items()
    )
    cards = [*_rates(run), *_costs(run, "cpu_us.", "Cost", "CPU of each process"),
             *_costs(run, "rss_mb.", "Memory", "Resident set of each process")]  # fmt: skip
    for scenario in run.scenarios:
        cards += _curves(scenario) + _growth(scenario)
    details = "".join(map(_details, run.scenarios))
    return (
        f"<article>{_head(run, 'Scenarios', lead)}<div class=charts>{''.join(cards)}</div>"
        f"<h2>All figures</h2>{_overview(run.scenarios)}{details}</article>"
    )


def _rates(run: Run) -> list[str]:
    units: dict[str, list[svg.Bar]] = {}
    for name, figures in run.loads():
        if found := figures.get("rate"):
            units.setdefault(found.unit, []).append(svg.Bar(name, found.median, found.min, found.max))
    return [
        _card("Throughput", f"{unit}; more is better", svg.bars(f"throughput in {unit}", rows))
        for unit, rows in units.items()
    ]


def _parts(figures: Mapping[str, Figure], prefix: str) -> dict[str, Figure]:
    found = {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix)}
    return {name: value for name, value in found.items() if name not in _APART}


def _costs(run: Run, prefix: str, title: str, about: str) -> list[str]:
    units: dict[str, list[tuple[str, dict[str, Figure]]]] = {}
    for name, figures in run.loads():
        if parts := _parts(figures, prefix):
            units.setdefault(next(iter(parts.values())).unit, []).append((name, parts))
    cards = []
    for unit, rows in units.items():
        names = {name for _, parts in rows for name in parts}
        order = [name for name in _WAY if name in names] + sorted(names - set(_WAY))
        stacked = [(name, [(part, parts[part].median) for part in order if part in parts]) for name, parts in rows]
        chart = svg.stacks(f"{title} in {unit}", stacked, order)
        cards.append(_card(title, f"{about}; {unit}; less is better", _legend(order), chart))
    return cards


def _curves(scenario: Scenario) -> list[str]:
    latency = scenario.latency
    if latency is None or not any(latency.curves.values()):
        return []
    curves = [(label, sorted(points)) for label, points in latency.curves.items() if points]
    x = svg.nines(percentile for _, points in curves for percentile, _ in points)
    y = svg.logarithmic(value for _, points in curves for _, value in points)
    chart = svg.lines(f"latency of {scenario.name}", curves, x, y, "percentile of the requests")
    about = f"{latency.unit}, both axes logarithmic; lower is better"
    return [_card(f"Latency: {scenario.name}", about, _legend([label for label, _ in curves]), chart)]


def _growth(scenario: Scenario) -> list[str]:
    axes: dict[tuple[str, str], list[tuple[str, list[tuple[float, float]]]]] = {}
    for label, found in (scenario.series or {}).items():
        if found.points:
            axes.setdefault((found.x, found.y), []).append((label, sorted(found.points)))
    cards = []
    for (x_name, y_name), curves in axes.items():
        x = svg.linear(a for _, points in curves for a, _ in points)
        y = svg.linear(b for _, points in curves for _, b in points)
        chart = svg.lines(f"{y_name} by {x_name} of {scenario.name}", curves, x, y, x_name)
        cards.append(_card(f"{scenario.name}: {y_name}", f"by {x_name}", _legend([name for name, _ in curves]), chart))
    return cards


def _overview(scenarios: Sequence[Scenario]) -> str:
    loads = [(one, *row) for one in scenarios for row in one.loads()]
    used = [(name, head) for name, head in COLUMNS if any(name in figures for *_, figures in loads)]
    units = {name: {figures[name].unit for *_, figures in loads if name in figures} for name, _ in used}
    heads = [head if len(units[name]) > 1 else f"{head}<br>{escape(next(iter(units[name])))}" for name, head in used]
    rows = [
        [f"<b>{escape(label)}</b>", _holds(one) if label == one.name else "",
         *(_value(figures.get(name), unit=len(units[name]) > 1) for name, _ in used)]
        for one, label, figures in loads
    ]  # fmt: skip
    return _table(["scenario", "acked<br>= stored", *heads], rows)


def _holds(scenario: Scenario) -> str:
    if scenario.holds is None:
        return "<small>not known</small>"
    return f"<span class=good>✓ {f'{scenario.stored or 0:,}'}</span>" if scenario.holds else "<b class=bad>✗ no</b>"


def _details(scenario: Scenario) -> str:
    rows = [
        [
            escape(name),
            _value(found),
            escape(found.unit),
            {"lower": "less", "higher": "more"}.get(found.better or "", ""),
        ]
        for name, found in scenario.figures.items()
    ]
    events = (
        f"acked {scenario.acked:,}, stored {scenario.stored:,}"
        if scenario.acked is not None and scenario.stored is not None
        else ""
    )
    return (
        f"<details><summary>{escape(scenario.name)} <span>{escape(scenario.about)}</span></summary>"
        f"{_facts([*pairs(scenario.parameters), *([('events', events)] if events else [])])}"
        f"{_table(['figure', 'median', 'unit', 'better'], rows)}</details>"
    )


# Peers.


def _peers(found: Peers) -> str:
    measured = sorted(
        (one for one in found.peers if "ratio" in one.figures), key=lambda one: one.figures["ratio"].median
    )
    base = next((one.name for one in found.peers if one.denominator), "the denominator")
    lead = f"CPU per request beside {escape(base)}, which stands at 1, in pairs of turns of one run"
    cards = [
        _card(title, f"{about}; {'more' if name == 'rate' else 'less'} is better", svg.bars(title, rows, mark))
        for name, title, about, mark in (
            ("ratio", "Cost of an answer", f"CPU of the processes that answer, × {base} in the same pair", 1.0),
            ("stored_ratio", "Cost of everything", f"CPU of all processes until nothing is left to do, × {base}", 1.0),
            ("rate", "Throughput of one core", "requests a second", None),
        )
        if (rows := [_bar(one, name) for one in measured if name in one.figures])
    ]
    described = "".join(_described(one) for one in found.peers)
    return (
        f"<article>{_head(found, 'Peers', lead)}<div class=charts>{''.join(cards)}</div>"
        f"<h2>All figures</h2>{_table(_PEER_HEAD, map(_peer_row, measured))}"
        f"<h2>What each is, and what it keeps</h2><dl class=peers>{described}</dl></article>"
    )


_PEER_HEAD = ("server", "× nginx", "CPU<br>µs/request", "all processes<br>µs/request", "requests/s")


def _bar(peer: Peer, name: str) -> svg.Bar:
    figure = peer.figures[name]
    beside = peer.figures.get("cpu_us" if name == "ratio" else "stored_cpu_us" if name == "stored_ratio" else "")
    note = f"{number(beside.median)} µs" if beside else ""
    return svg.Bar(peer.name, figure.median, figure.min, figure.max, note, strong=peer.name == "trackflowd")


def _peer_row(peer: Peer) -> list[str]:
    name = f"<b>{escape(peer.name)}</b>"
    return [name, *(_value(peer.figures.get(name)) for name in ("ratio", "cpu_us", "stored_cpu_us", "rate"))]


def _described(peer: Peer) -> str:
    version = f"<small>{escape(peer.version)}</small><br>" if peer.version else ""
    keeps = f"<br>Keeps: {escape(peer.durability)}" if peer.durability else ""
    why = f"<br><b>{'Failed' if peer.failed else 'Skipped'}</b>: {escape(peer.skipped)}" if peer.skipped else ""
    return f"<div><dt>{escape(peer.name)}</dt><dd>{version}{escape(peer.about)}{keeps}{why}</dd></div>"
