"""Base model -> the licence of what is made from its weights."""

from huggingface_hub import ModelCard

from dnahub.checkpoints.loading import CheckpointFiles
from dnahub.hub.cards import LICENCE


def inherited_licence(base: CheckpointFiles | None) -> dict[str, str]:
    """
    The licence of a checkpoint, which is that of the weights it began from, as the Hub's metadata have it.

    Args:
        base: The base model; `None` for random weights.

    Returns:
        `license`, "unknown" where the base model's card has none, and its `license_name` and `license_link`, if any.
    """
    if base is None:
        return {"license": "apache-2.0"}
    if base.name.startswith("InstaDeepAI/"):
        return {"license": "cc-by-nc-sa-4.0"}
    card, found = base.folder / "README.md", {"license": "unknown"}
    if card.is_file():
        data = ModelCard.load(card, ignore_metadata_errors=True).data.to_dict()
        found |= {name: data[name] for name in LICENCE if data.get(name)}
    return found
