"""The command line."""

from tvtfast.cli.main import main

__all__ = ["main"]
