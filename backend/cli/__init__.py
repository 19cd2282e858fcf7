"""The command line: ``humanref generate | estimate | doctor``."""

from backend.cli.app import main

__all__ = ["main"]
