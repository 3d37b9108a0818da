"""Shortens texts to fit on a line."""


def shortened(text: str, longest: int) -> str:
    """The text, or its beginning with three dots: at most ``longest`` characters (4 or more)."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
