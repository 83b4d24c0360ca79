"""Text of others on a terminal or in a line of a log."""


def visible(text: str, kept: str = "") -> str:
    """Write every character that does not show itself as an escape, such as \\x1b or \\u202e.

    What files, servers and clients send must not steer a terminal, begin a line or turn the order of what
    is read. Such are control characters, the marks of Unicode's bidirectional algorithm, line separators,
    lone surrogates and all spaces but the common one.

    Args:
        kept: characters that stay nevertheless, such as newlines where several lines are meant.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode("ascii") for c in text
    )
