"""The pieces of a report's page: text made safe, figures made readable, tables, and the sheet of styles."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import Final

_LONGEST: Final = 80
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
MINUS: Final = "\N{MINUS SIGN}"
DASH: Final = "\N{EN DASH}"
MIDDLE: Final = "\N{MIDDLE DOT}"
NARROW: Final = "\N{NARROW NO-BREAK SPACE}"


def safe(text: str, *, longest: int = _LONGEST) -> str:
    """Any text as it may stand in HTML, in an attribute too: no tags, no control characters, cut where endless."""
    clean = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    if len(clean) > longest:
        clean = clean[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return html.escape(clean)


def percent(value: float, *, digits: int = 1) -> str:
    """A part of 1 as "81.2", a dash where undefined; columns say that they hold percent."""
    return DASH if math.isnan(value) else f"{value * 100:.{digits}f}"


def signed(difference: float, *, digits: int = 1) -> str:
    """A difference in percent points with its sign."""
    if math.isnan(difference):
        return DASH
    text = f"{abs(difference) * 100:.{digits}f}"
    if float(text) == 0:
        return f"\N{PLUS-MINUS SIGN}{text}"
    return f"{'+' if difference > 0 else MINUS}{text}"


def digits_of(*, lower_is_better: bool) -> int:
    """How many digits a figure is given with: errors are small where anything is good."""
    return 3 if lower_is_better else 1


def change(difference: float, *, lower_is_better: bool = False) -> str:
    """A difference, coloured by whether it is a gain."""
    text = signed(difference, digits=digits_of(lower_is_better=lower_is_better))
    good = (difference < 0) if lower_is_better else (difference > 0)
    kind = "" if math.isnan(difference) or text.startswith("\N{PLUS-MINUS SIGN}") else ("gain" if good else "loss")
    return f'<span class="change {kind}">{text}</span>'


def whole(value: int) -> str:
    """A count with thin spaces between thousands."""
    return f"{value:,}".replace(",", NARROW)


def counted(value: int, noun: str, nouns: str = "") -> str:
    """ "1 image", "2 images"; `nouns` where the plural is not made by an s."""
    return f"{whole(value)} {noun if value == 1 else nouns or f'{noun}s'}"


def hex_color(rgb: Sequence[int]) -> str:
    """A colour as CSS has it."""
    red, green, blue = rgb
    return f"#{red:02x}{green:02x}{blue:02x}"


def swatch(rgb: Sequence[int]) -> str:
    """A small square of a class's colour."""
    return f'<span class="swatch" style="background:{hex_color(rgb)}"></span>'


def bar(value: float) -> str:
    """A bar as long as a part of 1."""
    width = 0.0 if math.isnan(value) else min(1.0, max(0.0, value)) * 100
    return f'<span class="bar"><span style="width:{width:.1f}%"></span></span>'


def table(head: Iterable[str], rows: Iterable[Iterable[str]], *, kind: str = "") -> str:
    """A table of finished cells; the first column holds names, the others figures."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(_row(*row) for row in rows)
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(name: str, *cells: str) -> str:
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def section(title: str, *parts: str, note: str = "") -> str:
    """A section with its heading; `title` and `note` are plain text, the parts finished HTML."""
    under = f'<p class="note">{safe(note, longest=2000)}</p>' if note else ""
    return f"<section><h2>{safe(title)}</h2>{under}{''.join(parts)}</section>"


def page(title: str, body: str) -> str:
    """The whole document. Nothing in it runs, and nothing is fetched."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{safe(title, longest=200)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


_LIGHT: Final = (
    "--ground:#f6f7f9;--card:#ffffff;--text:#1b1f27;--soft:#5b6472;--line:#e1e5eb;--track:#e9ecf1;"
    "--series0:#2f6fdb;--series1:#d9730d;--series2:#0f9488;--series3:#a03fc0;"
    "--gain:#12794a;--loss:#c22f35;--hit:#2f6fdb;--miss:#d64545;--cell:#eef1f5;--on:#ffffff"
)
_DARK: Final = (
    "--ground:#14171c;--card:#1c2027;--text:#e8ebf0;--soft:#9aa4b2;--line:#2d333d;--track:#2a303a;"
    "--series0:#6ea3ff;--series1:#f5a04f;--series2:#3cc8b9;--series3:#cf86ea;"
    "--gain:#4fca8d;--loss:#ff7b7d;--hit:#6ea3ff;--miss:#ff6b6b;--cell:#242932;--on:#0d1016"
)
_STYLE: Final = f"""
:root{{{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--ground);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;font-variant-numeric:tabular-nums}}
main{{max-width:1120px;margin:0 auto;padding:32px 24px 64px}}
h1{{font-size:28px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em;overflow-wrap:anywhere}}
h2{{font-size:18px;margin:0 0 4px}}
h3{{font-size:15px;margin:22px 0 8px;overflow-wrap:anywhere}}
p{{margin:0 0 8px}}
ul{{margin:6px 0 0;padding-left:18px}}
.lead,.note,figcaption{{color:var(--soft)}}
.note{{font-size:13.5px;max-width:80ch;margin-bottom:12px}}
.warning{{border-left:3px solid var(--series1);padding:2px 0 2px 12px;margin:10px 0}}
section{{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px 22px;margin-top:20px}}
.cards{{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:12px;margin-top:20px}}
.card{{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}}
.card b{{display:block;font-size:27px;font-weight:650;line-height:1.15}}
.card b small{{font-size:15px;font-weight:500;color:var(--soft);margin-left:2px}}
.card span{{color:var(--soft);font-size:13px}}
.scroll{{overflow-x:auto}}
table{{border-collapse:collapse;width:100%;font-size:14px}}
th,td{{padding:5px 12px 5px 0;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}}
tbody tr:last-child>*{{border-bottom:0}}
th{{font-weight:600}}
thead th{{color:var(--soft);font-weight:500;font-size:12.5px;vertical-align:bottom;white-space:normal}}
th:first-child{{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:130px}}
tbody th{{font-weight:500}}
td.wide{{width:30%}}
tr.mean>*{{font-weight:650}}
.swatch{{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:8px;vertical-align:-1px;
box-shadow:inset 0 0 0 1px rgba(128,128,128,.45)}}
.bar{{display:inline-block;width:min(22vw,190px);height:8px;border-radius:4px;background:var(--track);
vertical-align:1px;margin-right:10px;overflow:hidden}}
.bar span{{display:block;height:100%;background:var(--series0);border-radius:4px}}
.change{{color:var(--soft)}}.change.gain{{color:var(--gain)}}.change.loss{{color:var(--loss)}}
.key{{display:inline-block;width:10px;height:10px;border-radius:50%;margin-right:6px}}
.thirds{{display:grid;grid-template-columns:repeat(auto-fit,minmax(290px,1fr));gap:0 34px}}
.thirds table{{font-size:13px}}.thirds th,.thirds td{{padding-right:7px}}.thirds th:first-child{{min-width:100px}}
.columns{{display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:8px 36px}}
svg{{display:block;max-width:100%;height:auto;color:var(--text)}}
.wide-svg svg{{max-width:none}}
svg text{{fill:currentColor;font:11px system-ui,sans-serif}}
svg .soft{{fill:var(--soft)}}
svg .on{{fill:var(--on)}}
svg .grid{{stroke:var(--line);stroke-width:1}}
svg .hit{{fill:var(--hit)}}svg .miss{{fill:var(--miss)}}svg .cell{{fill:var(--cell)}}
svg .curve{{fill:none;stroke-width:2.2;stroke-linejoin:round}}
.strip{{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:8px;margin:0 0 16px}}
.strip.of3{{grid-template-columns:repeat(3,minmax(0,1fr))}}
.strip figure{{margin:0}}
.strip img{{display:block;width:100%;height:auto;border-radius:6px;background:var(--track)}}
figcaption{{font-size:12px;margin-top:3px}}
.source{{font-size:13px;color:var(--soft);margin:10px 0 5px;overflow-wrap:anywhere}}
@media (max-width:640px){{main{{padding:20px 12px}}.strip{{grid-template-columns:repeat(2,minmax(0,1fr))}}}}
@media print{{:root{{{_LIGHT};--ground:#fff}}body{{font-size:11pt}}main{{max-width:none;padding:0}}
section,.card{{break-inside:auto;border-color:#ccc}}h2,h3,.source{{break-after:avoid}}
tr,.strip,.card,svg,section:has(svg){{break-inside:avoid}}
.scroll{{overflow:visible}}.wide-svg svg{{max-width:100%}}
*{{print-color-adjust:exact;-webkit-print-color-adjust:exact}}}}
"""
