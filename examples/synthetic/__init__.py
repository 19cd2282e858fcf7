"""Dressed synthetic people from openly licensed parts (see examples/README.md)."""
