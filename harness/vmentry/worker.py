"""A process that does chunks of a campaign: requests on standard input, results on its output.

One JSON document a line each. It ends with its input, and by the death signal of its parent.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from harness.verdict import RunEnded
from harness.vmentry import chunk


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do one chunk; what came of it, or why it can't be done."""
    try:
        plan = chunk.Plan.from_json(request["plan"])
        return chunk.run(plan, str(request["cpu"]), int(request["chunk"]))
    except RunEnded as ended:
        return {
            "ended": ended.verdict.word,
            "sentence": ended.sentence,
            "evidence": list(ended.evidence),
        }


def main() -> None:
    """Answer requests until there are no more."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
