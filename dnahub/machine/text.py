"""Text that came with the data -> the same, harmless on a terminal, in a page, in Markdown and in a spreadsheet."""

import html
import re


def printable(text: str) -> str:
    """With control characters as Python shows them, such as `\\x1b`."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


# What a spreadsheet would run: a formula that calls a function (`(`), another program (`|`) or another file (`!`).
FORMULA = r"(?s)^(\s*[=+@\-＝＋－＠].*[(|!])"
INERT = r"'\1"


def inert(text: str) -> str:
    """For a table that a spreadsheet may open: with an apostrophe before a formula."""
    return re.sub(FORMULA, INERT, text)


def markdown(text: str) -> str:
    """For Markdown, in which it stands as it is, also in a table."""
    return html.escape(re.sub(r"([\\`*_\[\]|~$])", r"\\\1", printable(text)), quote=False)


def markdown_code(text: str) -> str:
    """For Markdown, as code, also in a table."""
    return "`" + printable(text).replace("`", "'").replace("|", r"\|") + "`"
