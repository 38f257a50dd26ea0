"""Recordings for other programs: CSV for spreadsheets, HTML for browsers. Neither runs anything that was recorded."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from blastwall.recording.records import Header
from blastwall.recording.shown import Asked, Done, Ended, Happened, Opaque, Opened, Said, Shown, Table
from blastwall.recording.terminal import neutral, neutral_lines

# The full-width forms count for spreadsheets in East Asian locales.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")
COLUMNS = ("time", "statement", "kind", "verdict", "effect", "verb", "risk", "policies", "text", "upstream", "why")

_PAGE = """<!doctype html> <html lang="en"><head><meta charset="utf-8"> <meta http-equiv="Content-Security-Policy"
content="default-src 'none'; style-src 'unsafe-inline'"> <title>{title}</title> <style> body {{ font: 14px/1.45
system-ui, sans-serif; margin: 2em; color: #222; }} pre {{ margin: .2em 0; padding: .4em .8em; border-left: 3px solid
#999; background: #f5f5f5; white-space: pre-wrap; }} table {{ border-collapse: collapse; margin: .3em 0; }} td, th {{
border: 1px solid #ccc; padding: .1em .5em; }} .permit {{ color: #070; }} .observed, .held {{ color: #960; }} .denied,
.failed {{ color: #b00; }} .dim {{ color: #777; }} </style></head><body> <h1>{title}</h1>
"""


# Where ; separates cells, a text in our quotes may be taken apart at its own.
_SEPARATED = re.compile(r"(?<=;)(?=[=+\-@|%＝＋－＠])")


def cell(text: str) -> str:
    """A CSV cell that no spreadsheet takes for a formula: an apostrophe before anything that could begin one."""
    harmless = _SEPARATED.sub("'", neutral(text))
    return f"'{harmless}" if text.startswith(_FORMULA) or harmless.startswith(_FORMULA) else harmless


def statements_csv(header: Header, shown: Iterable[Shown]) -> Iterator[str]:
    """Yield CSV lines (with line ends): the statements and what was decided about each."""
    yield csv_line(COLUMNS)
    for value in shown:
        if isinstance(value, Asked):
            yield csv_line(
                (
                    _when(header, value),
                    str(value.statement),
                    cell(value.kind),
                    value.verdict,
                    cell(value.effect),
                    cell(value.verb),
                    str(value.risk),
                    cell(" ".join(value.policies)),
                    cell(value.text),
                    cell(value.upstream or ""),
                    cell(value.why),
                )
            )


def page(header: Header, shown: Iterable[Shown]) -> Iterator[str]:
    """Yield an HTML page. It has no script, and its content policy forbids any."""
    principal, target = header.raw["principal"], header.raw["target"]
    yield _PAGE.format(title=_html(f"{principal.get('agent')} at {target.get('name')}: {header.recording}"))
    for value in shown:
        yield from _part(header, value)
    yield "</body></html>\n"


def _part(header: Header, value: Shown) -> Iterator[str]:
    match value:
        case Asked():
            yield f'<p><span class="dim">{_when(header, value)} #{value.statement}</span> '
            verdict, verb, why = _html(value.verdict), _html(value.verb), _html(value.why)
            yield f'<b class="{verdict}">{verdict}</b> {verb} {why}</p>\n'
            yield _pre(value.text)
            if value.upstream is not None:
                yield '<p class="dim">sent to the target as</p>\n' + _pre(value.upstream)
        case Table():
            yield "<table>" + _row("th", value.columns)
            for row in value.rows:
                yield _row("td", ("NULL" if item is None else item for item in row))
            yield "</table>\n" + (f'<p class="dim">… {value.more} more</p>\n' if value.more else "")
        case Said():
            tone = "failed" if value.failed else "held"
            said = f"{value.severity} {value.code} {value.message} {value.detail} {value.hint}"
            yield f'<p class="{tone}">{_html(said)}</p>\n'
        case Done():
            yield f'<p class="dim">{_html(value.tag)}</p>\n'
        case Happened():
            yield f'<p class="dim">{_when(header, value)} {_html(value.name)} {_html(str(dict(value.fields)))}</p>\n'
        case Opaque():
            yield f'<p class="dim">{value.size} bytes: {_html(value.note)}</p>\n'
        case Ended():
            yield f"<p><b>{_html(value.reason)}</b></p>\n"
        case Opened():
            pass


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_html(item)}</{tag}>" for item in cells) + "</tr>\n"


def _html(text: str) -> str:
    return html.escape(neutral(text), quote=True)


def _pre(text: str) -> str:
    return "<pre>" + "\n".join(html.escape(line, quote=True) for line in neutral_lines(text)) + "</pre>\n"


def csv_line(cells: Iterable[str]) -> str:
    """One line with its end."""
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _when(header: Header, value: Shown) -> str:
    return datetime.fromtimestamp(header.started_at + value.at / 1e9, UTC).isoformat(timespec="milliseconds")
