"""Texts of any length where there is room for a line."""


def shortened(text: str, longest: int) -> str:
    """The text, or its beginning and three dots: ``longest`` characters at most, 4 or more."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
