"""Facts -> a pattern for the messages that state them all, in any order and wording."""

import re


def naming(*facts: object) -> str:
    """
    For `pytest.raises(match=...)` and `re.search`.

    Args:
        facts: Such as a path, "row 3", a flag or a value; found as whole words, so that "row 3" is not "row 30".
    """
    return "(?s)" + "".join(f"(?=.*{_whole(str(fact))})" for fact in facts)


def _whole(fact: str) -> str:
    before = r"(?<!\w)" if re.match(r"\w", fact) else ""
    after = r"(?!\w)" if re.search(r"\w$", fact) else ""
    return before + re.escape(fact) + after
