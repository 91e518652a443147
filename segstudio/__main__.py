"""The `segstudio` command: the window where a path (or nothing) is given, else one of the commands."""

from __future__ import annotations

import sys
from pathlib import Path

# Kept here as plain words so that opening the window never imports the command line's libraries.
_COMMANDS = frozenset(
    {"demo", "new", "import", "export", "predict", "train", "evaluate", "refine", "tune", "info", "models"}
)


def main() -> int:
    """Runs the program and returns its exit status."""
    arguments = sys.argv[1:]
    if arguments and (arguments[0] in _COMMANDS or arguments[0].startswith("-")):
        from segstudio.cli.app import run

        return run(arguments)
    if len(arguments) > 1:
        sys.stderr.write(f"segstudio: {arguments[0]} is no command; give one path, or see segstudio --help.\n")
        return 2
    from segstudio.gui.app import run as run_window

    return run_window(Path(arguments[0]) if arguments else None)


if __name__ == "__main__":
    sys.exit(main())
