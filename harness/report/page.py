"""A page about a session, all in one file: what failed first, then everything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path

from harness.report.durations import BOUNDS
from harness.report.session import Run, Session, Test
from harness.report.style import block, document, escaped
from harness.verdict import bad_usage

_SLOWEST = 10
_LANE = 20  # pixels of a timeline's track
_WIDE = 900  # pixels of a timeline
_MARGIN = 170  # pixels for its names


def write(session: Session, path: Path) -> None:
    """Write the page to ``path``. RunEnded BAD_USAGE if that can't be."""
    try:
        text = "\n".join(document(session.title, body(session))) + "\n"
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise bad_usage(f"the page can't be written to {path}: {error.strerror}") from None


def body(session: Session) -> Iterator[str]:
    """The page's parts, in order."""
    counts: dict[str, int] = {}
    results = [(t.status, t.seconds) for t in session.tests]
    for status, _ in results or [(run.status, run.seconds) for run in session.runs]:
        counts[status] = counts.get(status, 0) + 1
    total = sum(seconds for _, seconds in results) or sum(run.seconds for run in session.runs)
    words = ", ".join(f"{counts[key]} {key}" for key in sorted(counts))
    yield f"<h1>{escaped(session.title)}</h1>"
    yield f'<p class="quiet">{words}; {total:.1f} s; {session.written:%Y-%m-%d %H:%M} UTC</p>'
    parts = ("failures", "matrix", "durations", "timeline", "runs")
    rest = "\n".join(line for part in _PARTS for line in part(session))
    links = (f'<a href="#{name}">{name}</a>' for name in parts if f'id="{name}"' in rest)
    yield f"<nav>{' '.join(links)}</nav>"
    yield rest


def _failures(session: Session) -> Iterator[str]:
    shown = {test.run.directory for test in session.tests if test.run and test.status == "failed"}
    tests = [test for test in session.tests if test.status == "failed"]
    runs = [one for one in session.runs if one.status == "failed" and one.directory not in shown]
    if session.tests:
        runs = []  # what a test expected to fail is in the list of runs
    if not tests and not runs:
        return
    yield f'<h2 id="failures">Failures ({len(tests) + len(runs)})</h2>'
    for test in tests:
        yield f"<article><h3>{escaped(test.name)}</h3>"
        if test.run is not None:
            yield from _what_happened(test.run)
        else:
            yield from _told_by_pytest(test)
        yield "</article>"
    for run in runs:
        yield f"<article><h3>{escaped(run.word('scenario'))} on {escaped(run.machine)}</h3>"
        yield from _what_happened(run)
        yield "</article>"


def _told_by_pytest(test: Test) -> Iterator[str]:
    """What a machine said, where there was one; then how the test came there, and the rest."""
    sections = [("traceback", test.reason), *test.sections]
    first = [one for one in sections if one[0].startswith(("verdict", "post-mortem"))]
    for title, text in [*first, *(one for one in sections if one not in first)]:
        opened = " open" if (title, text) in (first or sections[:1]) else ""
        yield f"<details{opened}><summary>{escaped(title)}</summary>"
        yield block(text.splitlines()[-400:]) + "</details>"


def _what_happened(run: Run) -> Iterator[str]:
    yield f'<p><span class="failed">{escaped(run.word("verdict"))}</span> '
    yield f"{escaped(run.word('sentence'))}</p>"
    if evidence := _evidence(run):
        yield block(evidence, wrapped=True)
    if run.post_mortem:
        yield "<details open><summary>post-mortem</summary>" + block(run.post_mortem) + "</details>"
    yield f'<p class="quiet"><code>{escaped(f"{run.directory.name}/replay.sh")}</code></p>'


def _evidence(run: Run) -> list[str]:
    """The verdict's evidence, but for what the post-mortem below it shows too."""
    evidence = run.outcome.get("evidence")
    lines = [str(line) for line in evidence[:80]] if isinstance(evidence, list) else []
    told = {line.strip() for line in run.post_mortem}
    kept = [line for line in lines if line.startswith("  [") or line.strip() not in told]
    return [
        line
        for line, below in zip_longest(kept, kept[1:], fillvalue="")
        # A heading under which nothing is left is not one.
        if line.startswith(" ") or not line.endswith(":") or below.startswith(" ")
    ]


def _matrix(session: Session) -> Iterator[str]:
    runs = session.runs
    if not runs:
        return
    machines = list(dict.fromkeys(run.machine for run in runs))
    names = sorted({run.word("scenario") for run in runs})
    newest = {(run.word("scenario"), run.machine): run for run in runs}
    yield '<h2 id="matrix">Scenarios by engine</h2>\n<div class="wide"><table><thead><tr><th></th>'
    yield "".join(f"<th>{escaped(one)}</th>" for one in machines) + "</tr></thead><tbody>"
    for name in names:
        cells = [f"<th>{escaped(name)}</th>"]
        for machine in machines:
            run = newest.get((name, machine))
            if run is None:
                cells.append('<td class="skipped">&mdash;</td>')
                continue
            verdict, status = run.word("verdict"), run.status
            text = status if verdict == status else f"{status}: {verdict}"
            time = f'<span class="time">{run.seconds:.2f} s</span>'
            inner = f'<div class="cell"><span>{escaped(text)}</span> {time}</div>'
            cells.append(f'<td class="{status}">{inner}</td>')
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


def _durations(session: Session) -> Iterator[str]:
    timed = [(test.name, test.seconds) for test in session.tests]
    timed = timed or [(run.word("scenario"), run.seconds) for run in session.runs]
    if not timed:
        return
    yield '<h2 id="durations">How long it took</h2>\n<div class="bars">'
    edges = [0.0, *BOUNDS, float("inf")]
    classes = [
        (low, sum(low <= seconds < high for _, seconds in timed)) for low, high in pairwise(edges)
    ]
    most = max(count for _, count in classes)
    for low, count in classes:
        if count:
            yield _bar(f"from {low:g} s", str(count), count / most)
    yield "</div>\n<details><summary>the slowest</summary><div class='bars'>"
    slowest = sorted(timed, key=lambda one: -one[1])[:_SLOWEST]
    for name, seconds in slowest:
        yield _bar(name, f"{seconds:.2f} s", seconds / max(1e-9, slowest[0][1]))
    yield "</div></details>"


def _bar(name: str, value: str, share: float) -> str:
    return (
        f'<span>{escaped(name)}</span><span class="n">{escaped(value)}</span>'
        f'<div class="bar" style="width:{max(0.0, min(1.0, share)) * 100:.1f}%"></div>'
    )


def _timeline(session: Session) -> Iterator[str]:
    """When which scenario ran: as many tracks as ran side by side."""
    runs = session.runs
    timed = [(one.started, one) for one in runs if one.started is not None]
    timed.sort(key=lambda one: one[0])
    if len(timed) < 2:
        return
    start = timed[0][0]
    end = max(began + run.seconds for began, run in timed)
    if not 0 < end - start < 86400:
        return  # runs of other days: no one session
    lanes: list[float] = []
    bars = []
    for began, run in timed:
        lane = next((n for n, free in enumerate(lanes) if free <= began), len(lanes))
        lanes[lane : lane + 1] = [began + run.seconds]
        bars.append((str(lane), began - start, began + run.seconds - start, run))
    yield '<h2 id="timeline">Timeline</h2>'
    tracks = [(f"track {lane + 1}", str(lane)) for lane in range(len(lanes))]
    spans = [
        (
            lane,
            since,
            until,
            f"{run.word('scenario')} on {run.machine}, {until - since:.2f} s",
            run.status,
        )
        for lane, since, until, run in bars
    ]
    yield _svg(tracks, spans, end - start)


Span = tuple[str, float, float, str, str]  # track, from, until, what it is, status


def _svg(tracks: Sequence[tuple[str, str]], spans: Sequence[Span], length: float) -> str:
    """Tracks with their spans; ``length`` in seconds. The names come up where the pointer is."""
    rows = {key: number for number, (_, key) in enumerate(tracks)}
    scale = (_WIDE - _MARGIN) / max(length, 1e-9)
    height = _LANE * len(tracks) + 24
    parts = [f'<svg viewBox="0 0 {_WIDE} {height}" width="{_WIDE}" height="{height}" role="img">']
    for number, (name, _) in enumerate(tracks):
        parts.append(f'<text x="0" y="{number * _LANE + 14}">{escaped(name[:24])}</text>')
    for key, since, until, what, status in spans:
        x, width = _MARGIN + since * scale, max(1.0, (until - since) * scale)
        mark = ' class="failed"' if status == "failed" else ""
        parts.append(
            f'<rect x="{x:.1f}" y="{rows[key] * _LANE + 3}" width="{width:.1f}" height="14" rx="2"'
            f"{mark}><title>{escaped(what)}</title></rect>"
        )
    base = _LANE * len(tracks) + 2
    parts.append(f'<line x1="{_MARGIN}" y1="{base}" x2="{_WIDE}" y2="{base}"/>')
    for tenth in (0, 5, 10):
        x = _MARGIN + (_WIDE - _MARGIN) * tenth / 10
        anchor = {0: "start", 5: "middle", 10: "end"}[tenth]
        label = f"{length * tenth / 10:.2f} s"
        parts.append(f'<text x="{x:.0f}" y="{base + 16}" text-anchor="{anchor}">{label}</text>')
    return '<div class="wide">' + "".join(parts) + "</svg></div>"


def _runs(session: Session) -> Iterator[str]:
    runs = session.runs
    if not runs:
        return
    yield '<h2 id="runs">Runs</h2>'
    for run in runs:
        head = f"{escaped(run.word('scenario'))} on {escaped(run.machine)}"
        yield f'<details><summary><span class="{run.status}">{escaped(run.word("verdict"))}</span> '
        yield f'{head} <span class="quiet">{run.seconds:.2f} s</span></summary>'
        yield f"<p>{escaped(run.word('sentence'))}</p>"
        yield from _guests(run)
        yield "<h3>console (COM1)</h3>" + block(run.console)
        yield "<h3>records (COM2)</h3>" + block(run.records)
        yield "</details>"


def _guests(run: Run) -> Iterator[str]:
    spans = run.spans()
    if spans:
        names = list(dict.fromkeys(guest for guest, _, _ in spans))
        length = max(until for _, _, until in spans)
        yield "<h3>guests, in the machine's own time</h3>"
        tracks = [(name, name) for name in names]
        yield _svg(
            tracks, [(g, a, b, f"{g}: {a:.3f} to {b:.3f} s", "") for g, a, b in spans], length
        )
    for guest, kinds in run.exits().items():
        most = max(kinds.values(), default=1)
        yield f"<h3>exits of {escaped(guest)} ({sum(kinds.values())})</h3><div class='bars'>"
        for kind, count in sorted(kinds.items(), key=lambda one: -one[1]):
            yield _bar(kind, str(count), count / most)
        yield "</div>"


_PARTS = (_failures, _matrix, _durations, _timeline, _runs)
