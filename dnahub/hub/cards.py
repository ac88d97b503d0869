"""New card, and the one it replaces -> a card that keeps what people wrote."""

import json
import re

import yaml
from huggingface_hub import CardData, RepoCard

# The first line lists what was generated in the metadata: the rest there is the work of people.
_BEGIN, _END = "<!-- Generated text, edits will be lost: {} -->\n", "\n<!-- End of the generated text -->\n"
_GENERATED = re.compile(
    re.escape(_BEGIN).replace(re.escape("{}"), "({.*?})") + ".*?" + re.escape(_END), flags=re.DOTALL
)

LICENCE = ("license", "license_name", "license_link")


def merge_cards(new: str, old: str | None) -> str:
    """
    Mark the text of a generated card, and add what people wrote into the card that it replaces.

    Args:
        new: The generated card: a metadata block and text.
        old: The card to replace, if there is one. Text before and after the generated one is kept, all text where
            none was generated, and tags, metadata and a known licence that are not generated.

    Raises:
        ValueError: If the metadata of the old card are not valid.
    """
    card = RepoCard(new)
    metadata = card.data.to_dict()
    generated = {"keys": list(metadata), "tags": metadata.get("tags", [])}
    before = after = ""
    if old is not None:
        try:
            previous = RepoCard(old.removeprefix("\ufeff"))  # a byte order mark would hide the metadata
        except (yaml.YAMLError, ValueError) as error:
            raise ValueError(
                f"README.md on the Hub: its metadata are not valid YAML; correct them ({error})."
            ) from error
        theirs, earlier = previous.data.to_dict(), {"keys": [], "tags": []}
        found = _GENERATED.search(previous.text)
        if found:
            before, after = previous.text[: found.start()], previous.text[found.end() :]
            earlier = json.loads(found[1])
        elif previous.text.strip():
            after = f"\n{previous.text.strip()}\n"
        replaced = {*metadata, *earlier["keys"], *LICENCE}
        if metadata.get("license") == "unknown":
            replaced -= set(LICENCE)
        metadata |= {name: value for name, value in theirs.items() if name not in replaced}
        tags = theirs.get("tags", [])
        tags = [tags] if isinstance(tags, str) else tags
        tags = [tag for tag in tags if tag not in {*generated["tags"], *earlier["tags"]}]
        if tags:
            metadata["tags"] = [*generated["tags"], *tags]
    text = f"{before}{_BEGIN.format(json.dumps(generated))}{card.text.strip()}{_END}{after}"
    return f"---\n{CardData(**metadata).to_yaml()}\n---\n{text}"
