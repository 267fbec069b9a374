"""``make appliance``: make it, and say what it is."""

from __future__ import annotations

import sys

from harness.appliance.assemble import assemble
from harness.verdict import RunEnded


def main() -> int:
    """Make the appliance; the exit code."""
    try:
        parts = assemble(lambda text: print(f"appliance: {text}", flush=True), renew=True)
    except RunEnded as ended:
        print(f"appliance: {ended.sentence}", file=sys.stderr)
        return ended.verdict.exit_code
    except KeyboardInterrupt:
        print("\nappliance: interrupted; nothing half-made is left", file=sys.stderr)
        return 130
    for name, version in parts.versions.items():
        print(f"appliance: {name}: {version}")
    for path in (parts.vmlinux, parts.initramfs):
        print(f"appliance: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
