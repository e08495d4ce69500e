"""Pieces of HTML that every page is made of: escaped text, numbers, tables, and one style sheet.

Strings and numbers flow in, HTML flows out. Invariant: whatever comes from outside goes through
:func:`escape`, so no name in a document becomes markup. Colours are taken from the page around
(``currentColor``), and the accents are of middle brightness: the same HTML reads well on light and on dark.
"""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "badge",
    "beside",
    "between",
    "count",
    "definitions",
    "escape",
    "fold",
    "fragment",
    "interval",
    "number",
    "page",
    "section",
    "short",
    "table",
]

DASH = "-"

STYLE = """
.mf{font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;max-width:1080px;
 --blue:#3d87d6;--orange:#dd8432;--green:#2f9e60;--red:#d94c4c;
 --line:color-mix(in srgb,currentColor 18%,transparent)}
.mf h2{font-size:20px;font-weight:650;margin:0 0 2px}
.mf h3{font-size:15px;font-weight:650;margin:26px 0 8px}
.mf h4{font-size:13px;font-weight:600;margin:14px 0 4px;opacity:.85}
.mf p{margin:2px 0 8px}
.mf .quiet{opacity:.68}
.mf code{font:12px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:none;color:inherit;
 overflow-wrap:anywhere}
.mf .badge{display:inline-block;padding:1px 9px;border-radius:10px;font-size:12px;font-weight:650;color:#fff;
 background:#7a828c;vertical-align:2px}
.mf .badge.good{background:var(--green)}
.mf .badge.bad{background:var(--red)}
.mf .tiles{display:flex;flex-wrap:wrap;gap:10px;margin:14px 0 4px}
.mf .tile{border:1px solid var(--line);border-radius:8px;padding:8px 14px;min-width:130px}
.mf .tile b{display:block;font-size:22px;font-weight:650;font-variant-numeric:tabular-nums}
.mf .tile span{display:block;font-size:12px;opacity:.7;font-variant-numeric:tabular-nums}
.mf .plots{display:flex;flex-wrap:wrap;gap:14px;margin:16px 0 0}
.mf .plots figure{margin:0;flex:0 1 330px;min-width:250px}
.mf svg{display:block;width:100%;height:auto}
.mf svg text{fill:currentColor;font:11px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.mf svg .title{font-weight:650;font-size:13px}
.mf svg .note{opacity:.72}
.mf .scroll{overflow-x:auto}
.mf table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;margin:0 0 6px;
 color:inherit}
.mf th,.mf td{padding:3px 14px 3px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;
 background:none;vertical-align:baseline}
.mf th{font-weight:600;font-size:12px;opacity:.75}
.mf th.text,.mf td.text{text-align:left}
.mf .range{display:inline-block;min-width:128px;text-align:left;opacity:.62;font-size:12px;
 margin-left:6px}
.mf dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:6px 0;font-size:13px}
.mf dt{opacity:.68}
.mf dd{margin:0;overflow-wrap:anywhere}
.mf details{margin:8px 0}
.mf summary{cursor:pointer;font-size:13px;font-weight:600;opacity:.85}
.mf details[open] summary{margin-bottom:6px}
@media(max-width:600px){.mf td,.mf th{padding-right:8px}
 .mf td.text{white-space:normal;overflow-wrap:anywhere;min-width:86px}}
"""

PAGE_STYLE = """
:root{color-scheme:light dark}
body{margin:0;padding:28px 32px 60px;background:Canvas;color:CanvasText}
.mf{margin:0 auto 34px}
.mf h1{font-size:26px;font-weight:700;margin:0 0 4px}
@media(max-width:600px){body{padding:16px 12px 40px}}
"""


def escape(value: object) -> str:
    """Give the value as text that is safe in HTML and in attributes."""
    return html.escape(str(value), quote=True)


def number(value: float | None, digits: int = 4) -> str:
    """Give a number in ``digits`` significant digits; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1:
        decimals = digits if abs(value) >= 1e-2 else digits + 2
        return f"{value:.{decimals}f}"
    if 1 <= abs(value) < 1e6:
        return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
    return f"{value:.{digits - 1}g}"


def count(value: float | None) -> str:
    """Give a number of things, with commas; weights may make it a fraction."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def interval(estimate: Mapping[str, float | None]) -> str:
    """Give a metric with its confidence interval, as HTML."""
    lower, upper = estimate.get("lower"), estimate.get("upper")
    known = lower is not None and upper is not None
    return beside(number(estimate.get("value")), f"{number(lower)} … {number(upper)}" if known else "")


def beside(shown: str, span: str = "") -> str:
    """Give a number with room for an interval beside it, so that a column of both is aligned."""
    return f'{shown}<span class="range">{span}</span>'


def between(lower: float | None, upper: float | None) -> str:
    """Say which values a group holds: at least ``lower``, and below ``upper``."""
    if lower is None:
        return "all" if upper is None else f"below {upper:g}"
    return f"from {lower:g}" if upper is None else f"{lower:g} to {upper:g}"


def short(digest: object) -> str:
    """Give a digest or id as code, shortened where it is long; the whole stands in the tooltip."""
    text = str(digest)
    algorithm, colon, digits = text.partition(":")
    shown = f"{algorithm}{colon}{digits[:12]}…" if colon and len(digits) > 16 else text
    return f'<code title="{escape(text)}">{escape(shown)}</code>'


def badge(text: object) -> str:
    """Give a verdict or state as a coloured word."""
    good = {"PASS", "PUBLISHED", "ACTIVE", "APPROVED", "RESOLVED", "MET"}
    bad = {"FAIL", "FAIL_CLOSED", "RETIRED", "NOT_MET", "MISSING"}
    word = str(text)
    kind = " good" if word in good else " bad" if word in bad else ""
    return f'<span class="badge{kind}">{escape(word)}</span>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1, ranged: bool = False) -> str:
    """Give a table of cells that are HTML already; the first ``texts`` columns are words.

    Where the others are ``ranged``, :func:`beside` makes their cells, and their heads stand over the number.
    """

    def cells(tag: str, values: Sequence[str]) -> str:
        marks = [' class="text"' if place < texts else "" for place in range(len(values))]
        return "".join(f"<{tag}{mark}>{value}</{tag}>" for mark, value in zip(marks, values, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    titles = [escape(name) for name in head]
    heading = cells("th", titles[:texts] + [beside(title) if ranged else title for title in titles[texts:]])
    return f'<div class="scroll"><table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table></div>'


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Names with what they stand for; the second of each pair is HTML already."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in pairs) + "</dl>"


def section(title: str, *parts: str) -> str:
    """Give a titled part of a page, left out where it has no content."""
    body = "".join(parts)
    return f"<h3>{escape(title)}</h3>{body}" if body else ""


def fold(title: str, body: str) -> str:
    """Something that opens on a click, left out where it has no content."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>" if body else ""


def fragment(*parts: str) -> str:
    """HTML for a notebook's cell, with the style it needs."""
    return f'<style>{STYLE}</style><div class="mf">{"".join(parts)}</div>'


def page(title: str, *fragments: str) -> str:
    """Give a whole HTML document that needs nothing from outside."""
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{PAGE_STYLE}</style>"
    )
    heading = f'<div class="mf"><h1>{escape(title)}</h1></div>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>{heading}{"".join(fragments)}</body></html>'
    )
