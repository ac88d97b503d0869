"""A generated card on top of one that people edited."""

import pytest
from huggingface_hub import RepoCard

from dnahub.hub.cards import merge_cards

NEW = "---\nlicense: mit\ntags:\n- dna\n- synthetic\nconfigs:\n- config_name: default\n---\n\n# Title\n\nText é\n"
LATER = "---\nlicense: cc0-1.0\ntags:\n- dna\n---\n# Another title\n"


def edited(card: str) -> str:
    card = card.replace("- synthetic\n", "- synthetic\n- yeast\n").replace(
        "---\n<!--", "author: me\n---\nBefore\n\n<!--"
    )
    return card + "\n## After\n"


def test_a_first_card_has_the_generated_metadata_and_text():
    card = RepoCard(merge_cards(NEW, None))
    assert card.data.to_dict() == RepoCard(NEW).data.to_dict()
    assert "\n# Title\n\nText é\n" in card.text


@pytest.mark.parametrize("old", [None, "# Title\n", LATER, edited(merge_cards(NEW, None))])
def test_the_same_card_again_changes_nothing(old):
    once = merge_cards(NEW, old)
    assert merge_cards(NEW, once) == once


def test_what_people_wrote_stays_and_what_was_generated_goes():
    merged = merge_cards(LATER, edited(merge_cards(NEW, None)))
    card = RepoCard(merged)
    assert card.data.to_dict() == {"license": "cc0-1.0", "tags": ["dna", "yeast"], "author": "me"}
    assert card.text.startswith("Before\n\n<!--") and card.text.endswith("-->\n\n## After\n")
    assert "# Another title" in card.text and "# Title" not in card.text


def test_of_a_card_without_marks_the_metadata_stays():
    card = RepoCard(merge_cards(LATER, "---\nauthor: me\nlicense: mit\n---\nText of before\n"))
    assert card.data.to_dict() == {"license": "cc0-1.0", "tags": ["dna"], "author": "me"}
    assert "Text of before" not in card.text
