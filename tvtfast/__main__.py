"""``tvtfast``, and ``python -m tvtfast``."""

from __future__ import annotations

import sys

from tvtfast.common.signals import run_program


def program() -> int:
    """Run the command line; returns the exit status."""

    def command() -> int:
        from tvtfast.cli import main

        return main()

    return run_program(command)


if __name__ == "__main__":
    sys.exit(program())
