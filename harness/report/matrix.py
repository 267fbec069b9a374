"""The engine matrix as people see it: in a terminal, or as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from harness.matrix import Cell, Matrix
from harness.report.screen import Screen
from harness.report.style import document, escaped
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


def page(matrix: Matrix) -> Iterator[str]:
    """The lines of an HTML page, light or dark as the reader's system is; it loads nothing."""
    return document("Engine matrix", _body(matrix))


def _body(matrix: Matrix) -> Iterator[str]:
    numbers = reasons(matrix)
    yield f'<h1>Engine matrix</h1>\n<p class="quiet">{escaped(counts(matrix))}</p>'
    failed = [cell for cell in matrix.cells if cell.status == "failed"]
    if failed:
        yield "<h2>Failed</h2>\n<ul>"
        for cell in failed:
            place = shown_path(Path(cell.directory)) if cell.directory else ""
            where = f"<br><code>{escaped(place)}</code>" if place else ""
            yield (
                f"<li><strong>{escaped(cell.scenario)}</strong> on {escaped(str(cell.machine))}: "
                f"{escaped(cell.sentence)}{where}</li>"
            )
        yield "</ul>"
    yield '<div class="wide"><table>\n<thead><tr><th scope="col">Scenario</th>'
    for machine in matrix.machines:
        vendor = matrix.vendor(machine) or "did not run"
        yield f'<th scope="col">{escaped(str(machine))}<br><span class="quiet">{vendor}</span></th>'
    yield "</tr></thead>\n<tbody>"
    for name in matrix.scenarios:
        yield f'<tr><th scope="row">{escaped(name)}</th>'
        for machine in matrix.machines:
            yield _cell(matrix.cell(name, machine), numbers)
        yield "</tr>"
    yield "</tbody></table></div>"
    if numbers:
        yield "<h2>Known, or skipped, because</h2>\n<ol>"
        for sentence, number in numbers.items():
            yield f'<li id="reason-{number}">{escaped(sentence)}</li>'
        yield "</ol>"


def _cell(cell: Cell, numbers: dict[str, int]) -> str:
    title = f' title="{escaped(cell.sentence)}"' if cell.sentence else ""
    if cell.sentence in numbers:
        link = f'<a href="#reason-{numbers[cell.sentence]}">{numbers[cell.sentence]}</a>'
        return f'<td class="{cell.status}"{title}>{cell.status} {link}</td>'
    word = cell.status if cell.verdict in (cell.status, "") else f"{cell.status}: {cell.verdict}"
    time = f'<span class="time">{cell.seconds:.2f} s</span>'
    inner = f'<div class="cell"><span>{escaped(word)}</span> {time}</div>'
    return f'<td class="{cell.status}"{title}>{inner}</td>'
