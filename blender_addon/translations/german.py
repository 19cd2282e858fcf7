"""German."""

GERMAN: dict[tuple[str, str], str] = {}
