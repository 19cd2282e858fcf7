"""HumanRef's compute side: one photo of a person to a rigged, coloured character."""

__version__ = "0.1.0"
