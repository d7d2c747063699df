"""Cells of CSV files that people open: what a spreadsheet would run as a formula is made text."""

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula begins with; the last four are the full-width forms that some spreadsheets read as the others (OWASP, CSV injection)."""


def harmless(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would run it."""
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text
