"""The engine matrix as people see it: in a terminal, or as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

from harness.matrix import Cell, Matrix
from harness.report.screen import Screen
from harness.report.terminal import shown_path
from harness.report.text import plain
from harness.verdict import bad_usage

_STYLES = {"passed": "green", "failed": "bold red", "known": "yellow", "skipped": "dim"}


def progress(screen: Screen) -> Callable[[int, int], None]:
    """What shows on a terminal how far it has come, on one line that then goes away."""

    def show(count: int, of: int) -> None:
        screen.write(f"\r{count} of {of}" if count < of else "\r\x1b[K")

    return show


def reasons(matrix: Matrix) -> dict[str, int]:
    """A number for each reason why something can't pass, in order of appearance."""
    told = (cell for cell in matrix.cells if cell.status in ("skipped", "known"))
    found = dict.fromkeys(cell.sentence for cell in told)
    return {sentence: number for number, sentence in enumerate(found, 1)}


def counts(matrix: Matrix) -> str:
    """One line over all cells."""
    words = [f"{n} {word}" for word in _STYLES if (n := matrix.count(word))]
    return f"{', '.join(words) or 'nothing to run'} in {matrix.seconds:.1f} s"


def show(matrix: Matrix, screen: Screen) -> None:
    """Write the table, then why things failed, can't pass, or were skipped."""
    numbers = reasons(matrix)
    heads = ["scenario", *(str(machine) for machine in matrix.machines)]
    vendors = ["", *(matrix.vendor(machine) for machine in matrix.machines)]
    rows = [
        [name, *(_text(matrix.cell(name, machine), numbers) for machine in matrix.machines)]
        for name in matrix.scenarios
    ]
    if screen.stream.isatty():
        _rich(screen, matrix, [heads, vendors, *rows])
    else:
        screen.table([heads, vendors, *rows])
    for cell in (cell for cell in matrix.cells if cell.status == "failed"):
        word = screen.styled("failed", fg="red", bold=True)
        screen.line(f"{word}  {plain(cell.scenario)} on {cell.machine}: {plain(cell.sentence)}")
        if cell.directory:
            screen.line(f"  run directory: {shown_path(Path(cell.directory))}")
    for sentence, number in numbers.items():
        screen.line(screen.styled(f"({number}) {plain(sentence)}", dim=True))
    screen.line(counts(matrix))


def _text(cell: Cell, numbers: dict[str, int]) -> str:
    if cell.sentence in numbers:
        return f"{cell.status} ({numbers[cell.sentence]})"
    word = cell.status if cell.verdict in (cell.status, "") else f"{cell.status}: {cell.verdict}"
    return f"{word} {cell.seconds:.2f} s" if cell.status == "passed" else word


def _rich(screen: Screen, matrix: Matrix, rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head, vendor in zip(rows[0], rows[1], strict=True):
        table.add_column(f"{head}\n{vendor or ' '}", no_wrap=True)
    for row in rows[2:]:
        cells = [Text(row[0], style="bold")]
        for machine, text in zip(matrix.machines, row[1:], strict=True):
            cells.append(Text(text, style=_STYLES[matrix.cell(row[0], machine).status]))
        table.add_row(*cells)
    Console(
        file=screen.stream, color_system="auto" if screen.colours else None, highlight=False
    ).print(table)


# The page


def write_page(matrix: Matrix, path: Path) -> None:
    """Write the page to ``path``. RunEnded BAD_USAGE if that can't be."""
    try:
        path.write_text("\n".join(page(matrix)) + "\n", encoding="utf-8")
    except OSError as error:
        raise bad_usage(f"the page can't be written to {path}: {error.strerror}") from None


_CSS = """
:root { color-scheme: light dark; --ink: #1c2127; --quiet: #66707b; --paper: #ffffff;
  --line: #dfe3e8; --head: #f4f6f8; --good: #17703a; --good-wash: #e7f5ec;
  --bad: #b3261e; --bad-wash: #fdeceb; --odd: #7a5b00; --odd-wash: #fbf3dc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --quiet: #98a2ad; --paper: #14181c;
  --line: #2d343b; --head: #1c2228; --good: #6fd08f; --good-wash: #16301f;
  --bad: #ff8a80; --bad-wash: #3a1a18; --odd: #e6c46a; --odd-wash: #332a12; } }
* { box-sizing: border-box; }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: var(--ink);
  background: var(--paper); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p { margin: .2rem 0; } .quiet { color: var(--quiet); }
.wide { overflow-x: auto; margin-top: 1.2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
thead th { background: var(--head); vertical-align: bottom; } thead .quiet { font-weight: normal; }
tbody th { font-weight: 600; }
.passed { color: var(--good); background: var(--good-wash); }
.failed { color: var(--bad); background: var(--bad-wash); font-weight: 600; }
.known { color: var(--odd); background: var(--odd-wash); }
.skipped { color: var(--quiet); }
.known a, .skipped a { color: inherit; }
.cell { display: flex; justify-content: space-between; gap: .8rem; }
.time { opacity: .75; font-weight: normal; }
code { font: .92em ui-monospace, monospace; overflow-wrap: anywhere; }
li { margin: .3rem 0; }
"""


def page(matrix: Matrix) -> Iterator[str]:
    """The lines of an HTML page, light or dark as the reader's system is; it loads nothing."""
    numbers = reasons(matrix)
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Engine matrix</title>\n<style>{_CSS}</style>\n</head>\n<body>"
    yield f'<h1>Engine matrix</h1>\n<p class="quiet">{_html(counts(matrix))}</p>'
    failed = [cell for cell in matrix.cells if cell.status == "failed"]
    if failed:
        yield "<h2>Failed</h2>\n<ul>"
        for cell in failed:
            place = shown_path(Path(cell.directory)) if cell.directory else ""
            where = f"<br><code>{_html(place)}</code>" if place else ""
            yield (
                f"<li><strong>{_html(cell.scenario)}</strong> on {_html(str(cell.machine))}: "
                f"{_html(cell.sentence)}{where}</li>"
            )
        yield "</ul>"
    yield '<div class="wide"><table>\n<thead><tr><th scope="col">Scenario</th>'
    for machine in matrix.machines:
        vendor = matrix.vendor(machine) or "did not run"
        yield f'<th scope="col">{_html(str(machine))}<br><span class="quiet">{vendor}</span></th>'
    yield "</tr></thead>\n<tbody>"
    for name in matrix.scenarios:
        yield f'<tr><th scope="row">{_html(name)}</th>'
        for machine in matrix.machines:
            yield _cell(matrix.cell(name, machine), numbers)
        yield "</tr>"
    yield "</tbody></table></div>"
    if numbers:
        yield "<h2>Known, or skipped, because</h2>\n<ol>"
        for sentence, number in numbers.items():
            yield f'<li id="reason-{number}">{_html(sentence)}</li>'
        yield "</ol>"
    yield "</body>\n</html>"


def _cell(cell: Cell, numbers: dict[str, int]) -> str:
    title = f' title="{_html(cell.sentence)}"' if cell.sentence else ""
    if cell.sentence in numbers:
        link = f'<a href="#reason-{numbers[cell.sentence]}">{numbers[cell.sentence]}</a>'
        return f'<td class="{cell.status}"{title}>{cell.status} {link}</td>'
    word = cell.status if cell.verdict in (cell.status, "") else f"{cell.status}: {cell.verdict}"
    time = f'<span class="time">{cell.seconds:.2f} s</span>'
    inner = f'<div class="cell"><span>{_html(word)}</span> {time}</div>'
    return f'<td class="{cell.status}"{title}>{inner}</td>'


def _html(text: str) -> str:
    return escape(plain(text), quote=True)
