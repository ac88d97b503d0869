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


@pytest.mark.parametrize("old", [None, "# Mine\n", LATER, "---\ntags: mine\n---", edited(merge_cards(NEW, None))])
def test_the_same_card_again_changes_nothing(old):
    once = merge_cards(NEW, old)
    assert merge_cards(NEW, once) == once


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_people_wrote_stays_and_what_was_generated_goes(mark):
    merged = merge_cards(LATER, mark + edited(merge_cards(NEW, None)))
    card = RepoCard(merged)
    assert card.data.to_dict() == {"license": "cc0-1.0", "tags": ["dna", "yeast"], "author": "me"}
    assert card.text.startswith("Before\n\n<!--") and card.text.endswith("-->\n\n## After\n")
    assert "# Another title" in card.text and "# Title" not in card.text


def test_all_of_a_card_without_marks_stays():
    card = RepoCard(merge_cards(LATER, "---\nauthor: me\nlicense: mit\ntags: mine\n---\nWritten by hand\n"))
    assert card.data.to_dict() == {"license": "cc0-1.0", "tags": ["dna", "mine"], "author": "me"}
    assert card.text.endswith("-->\n\nWritten by hand\n")


def test_a_licence_that_is_not_known_replaces_none():
    theirs = "license: other\nlicense_name: ours\nlicense_link: LICENSE"
    once = merge_cards("---\nlicense: unknown\n---\n", f"---\n{theirs}\n---\n")
    assert theirs in once
    assert RepoCard(merge_cards("---\nlicense: mit\n---\n", once)).data.to_dict() == {"license": "mit"}


@pytest.mark.parametrize("metadata", ["a: [", "- a"])
def test_metadata_that_cannot_be_read_are_an_error(metadata):
    with pytest.raises(ValueError, match=r"README\.md.*metadata"):
        merge_cards(NEW, f"---\n{metadata}\n---\nText\n")
