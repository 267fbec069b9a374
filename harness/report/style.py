"""What the HTML pages share: how they look, light or dark as the reader's system is."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator

from harness.report.text import plain

CSS = """
:root { color-scheme: light dark; --ink: #1c2127; --quiet: #66707b; --paper: #ffffff;
  --line: #dfe3e8; --head: #f4f6f8; --good: #17703a; --good-wash: #e7f5ec;
  --bad: #b3261e; --bad-wash: #fdeceb; --odd: #7a5b00; --odd-wash: #fbf3dc; --bar: #5b8def;
  --link: #1a56c4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --quiet: #98a2ad; --paper: #14181c;
  --line: #2d343b; --head: #1c2228; --good: #6fd08f; --good-wash: #16301f;
  --bad: #ff8a80; --bad-wash: #3a1a18; --odd: #e6c46a; --odd-wash: #332a12; --bar: #4a78cf;
  --link: #9ec1ff; } }
* { box-sizing: border-box; }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: var(--ink);
  background: var(--paper); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 1.8rem 0 .5rem; }
h3 { font-size: 1rem; margin: .2rem 0; } p { margin: .2rem 0; } .quiet { color: var(--quiet); }
.wide { overflow-x: auto; margin-top: .6rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
thead th { background: var(--head); vertical-align: bottom; } thead .quiet { font-weight: normal; }
tbody th { font-weight: 600; }
.passed { color: var(--good); background: var(--good-wash); }
.failed { color: var(--bad); background: var(--bad-wash); font-weight: 600; }
.skipped { color: var(--quiet); } .known { color: var(--odd); background: var(--odd-wash); }
.known a, .skipped a { color: inherit; }
.cell { display: flex; justify-content: space-between; gap: .8rem; }
.time { opacity: .75; font-weight: normal; }
code, pre { font: .86em/1.4 ui-monospace, monospace; } code { overflow-wrap: anywhere; }
pre { background: var(--head); border: 1px solid var(--line); border-radius: 4px; margin: .4rem 0;
  max-height: 34rem; overflow: auto; padding: .6rem .8rem; }
pre.wrapped { overflow-wrap: anywhere; white-space: pre-wrap; }
li { margin: .3rem 0; } a { color: var(--link); } nav a { margin-right: .8rem; }
details { border-bottom: 1px solid var(--line); padding: .3rem 0; }
summary { cursor: pointer; } summary:focus-visible { outline: 2px solid var(--bar); }
article { border: 1px solid var(--bad); border-radius: 6px; margin: .8rem 0; padding: .7rem 1rem; }
.bars { display: grid; gap: .15rem .7rem; grid-template-columns: max-content max-content 1fr; }
.bars > * { align-self: center; } .bars .n { text-align: right; }
.bar { background: var(--bar); border-radius: 2px; height: .75rem; min-width: 2px; }
svg { display: block; max-width: 100%; } svg text { fill: var(--ink); font-size: 12px; }
svg rect { fill: var(--bar); } svg rect.failed { fill: var(--bad); }
svg line { stroke: var(--line); }
"""


def escaped(text: str) -> str:
    """One line of text that a guest may have written, as HTML: no markup, no control characters."""
    return html.escape(plain(text), quote=True)


def block(lines: Iterable[str], *, wrapped: bool = False) -> str:
    """Lines as they are, one below the other; long ones are ``wrapped``, or scrolled to."""
    return (
        ('<pre class="wrapped">' if wrapped else "<pre>")
        + "\n".join(escaped(line) for line in lines)
        + "</pre>"
    )


def document(title: str, body: Iterable[str]) -> Iterator[str]:
    """A whole page, which loads nothing."""
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escaped(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>"
    yield from body
    yield "</body>\n</html>"
