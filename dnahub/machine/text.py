"""Text that came with the data -> the same, harmless on a terminal, in a page and in Markdown."""

import html
import re


def printable(text: str) -> str:
    """With control characters as Python shows them, such as `\\x1b`."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def markdown(text: str) -> str:
    """For Markdown, in which it stands as it is, also in a table."""
    return html.escape(re.sub(r"([\\`*_\[\]|~$])", r"\\\1", printable(text)), quote=False)


def markdown_code(text: str) -> str:
    """For Markdown, as code, also in a table."""
    return "`" + printable(text).replace("`", "'").replace("|", r"\|") + "`"
