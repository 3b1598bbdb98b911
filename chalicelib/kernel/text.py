"""Checks of texts."""

import unicodedata

_DIRECTION_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""The characters with the Unicode property Bidi_Control."""
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Cs", "Zs", "Zl", "Zp", "Mn", "Me"})
"""Categories of characters that show nothing by themselves: controls, formats, blanks and marks on a letter."""
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that are blank: fillers of Hangul, and the Braille cell without dots."""


def is_utf8(text: str) -> bool:
    """Return whether UTF-8 can encode ``text``: JSON escapes can write lone surrogates, which UTF-8 cannot."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_visible(text: str) -> bool:
    """Return whether ``text`` has a character that a reader can see."""
    return any(unicodedata.category(each) not in _UNSEEN and each not in _FILLERS for each in text)


def has_direction_control(text: str) -> bool:
    """Return whether ``text`` has a bidirectional control, such as U+202E, which reverses what stands after it."""
    return not _DIRECTION_CONTROLS.isdisjoint(text)
