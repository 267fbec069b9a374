"""``make guests``: fetch the images of real systems, and say what each is."""

from __future__ import annotations

import argparse
import sys

from harness import debian
from harness.guest_images import fetch, images


def main(arguments: list[str] | None = None) -> int:
    """Fetch what is missing; 1 if something can't be had, unless nobody insists on it."""
    parser = argparse.ArgumentParser(prog="python -m harness.guest_images", description=__doc__)
    parser.add_argument(
        "--if-possible", action="store_true", help="take what can be had, and exit with 0"
    )
    parser.add_argument("images", nargs="*", help="only these; all if none is named")
    options = parser.parse_args(arguments)
    insists = not options.if_possible

    def say(text: str) -> None:
        print(f"guests: {text}", flush=True)

    try:
        found = fetch.fetch(say, renew=insists, only=options.images)
    except OSError as error:
        print(f"guests: {debian.out_of_luck(error, images.directory())}", file=sys.stderr)
        return 1 if insists else 0
    except KeyboardInterrupt:
        print("\nguests: interrupted; nothing half-made is left", file=sys.stderr)
        return 130
    for reason in dict.fromkeys(one.missing for one in found.values() if one.missing):
        names = [name for name, one in found.items() if one.missing == reason]
        print(f"guests: without {', '.join(names)}: {reason}", file=sys.stderr)
    for name, one in found.items():
        if insists and not one.missing:
            size = (images.directory() / name).stat().st_size
            print(f"guests: {name}: {one.package} ({size / 1e6:.1f} MB)")
    return 1 if insists and any(one.missing for one in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
