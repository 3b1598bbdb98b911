"""From the pattern of a downlink's topic to the key that its queue is bound with."""


def binding_key(pattern: str) -> str:
    """Each dot-separated word with a ``{...}`` in it becomes ``*``; braces may hold dots, braces and quoted text.

    Raises ValueError with a sentence when a brace is not closed.
    """
    return ".".join("*" if "{" in word else word for word in _words(pattern))


def _words(pattern: str) -> list[str]:
    words, depth, quoted = [""], 0, False
    for character in pattern:
        if depth and character == "'":
            quoted = not quoted
        elif not quoted and character == "{":
            depth += 1
        elif not quoted and character == "}" and depth:
            depth -= 1
        if character == "." and not depth:
            words.append("")
        else:
            words[-1] += character
    if depth:
        raise ValueError("A { of the pattern is not closed.")
    return words
