"""The command line, ``humanref``."""

from backend.cli.app import main

__all__ = ["main"]
