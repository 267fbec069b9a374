"""What the pytest plugin says about a session as a whole: where time went, what failed, a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.records import Record

MOST_REPORTS = 200  # of guests, in one test's properties


def guests_reports(records: list[Record] | list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """What guests reported of themselves, as properties for JUnit: sub-results of a test."""
    from harness.report.text import plain

    found = [one for one in records if one.get("kind") == "report"]
    for number, one in enumerate(found[:MOST_REPORTS], 1):
        word = "passed" if one.get("passed") is True else "failed"
        name = plain(str(one.get("guest", "?")))[:80]
        yield f"guest-report {number} {name}", f"{word} {plain(str(one.get('value')))[:80]}"
    if len(found) > MOST_REPORTS:
        yield "guest-reports left out", str(len(found) - MOST_REPORTS)


class SessionReport:
    """Registered once a session, in the process that the user talks to."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._page = config.getoption("--report")
        self._seen: list[dict[str, Any]] = []
        self._failed: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test went."""
        decides = report.when == "call" or (report.when == "setup" and not report.passed)
        broken = report.when == "teardown" and report.failed
        if not decides and not broken:
            return
        self._seen.append(_as_json(report))
        if report.failed:
            self._failed.append(report)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Tell GitHub what failed, draw the histogram where that is asked for, write the page."""
        from harness.report import github

        for report in self._failed if github.wanted() else ():
            # At a line's start, where GitHub looks: not among the dots of the tests.
            terminalreporter.write_line(_annotation(report))
        if self._config.getoption("durations") is not None:
            from harness.report.durations import histogram

            lines = histogram(one["seconds"] for one in self._seen)
            if lines:
                terminalreporter.section("how long tests took")
                for line in lines:
                    terminalreporter.write_line(line)
        if self._page:
            from harness.report import page, session
            from harness.verdict import RunEnded

            path = Path(self._page)
            try:
                page.write(session.of_tests(self._seen), path)
            except RunEnded as ended:
                terminalreporter.write_line(f"no report: {ended.sentence}")
            else:
                terminalreporter.write_line(f"report: {path}")


def _annotation(report: pytest.TestReport) -> str:
    """What failed, at the statement of the test that did: one sentence, not the traceback."""
    from harness.report import github

    path, line, name = report.location
    number = (line or 0) + 1
    entries = getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", ())
    for place in (getattr(entry, "reprfileloc", None) for entry in entries):
        if place is not None and place.path == path:
            number = place.lineno
    crash = getattr(report.longrepr, "reprcrash", None)
    verdict = [text.splitlines()[0] for title, text in report.sections if title == "verdict"]
    message = verdict[0] if verdict else getattr(crash, "message", report.longreprtext)
    return github.annotation(path, number, name, message or "it failed")


def _as_json(report: pytest.TestReport) -> dict[str, Any]:
    properties: Mapping[str, str] = {str(k): str(v) for k, v in report.user_properties}
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return {
        "name": report.nodeid,
        "status": "failed" if report.failed else "skipped" if report.skipped else "passed",
        "seconds": report.duration,
        "reason": "" if report.passed else str(reason)[:100_000],
        "sections": [] if report.passed else [(t, s[:100_000]) for t, s in report.sections],
        "engine": properties.get("engine"),
        "directory": properties.get("run_directory"),
    }
