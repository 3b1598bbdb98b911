"""Checks of texts."""


def is_utf8(text: str) -> bool:
    """Return whether UTF-8 can encode ``text``: JSON escapes can write lone surrogates, which UTF-8 cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
