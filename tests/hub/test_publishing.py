"""What a user and a token may do, known before anything is published; and cards that people edited."""

import pytest
from huggingface_hub import DatasetCard

from dnahub.hub.faults import HubError
from dnahub.hub.publishing import Target, _roles, check_target, publish
from tests.local_hub import Account


def scope(name: str, *permissions: str, kind: str = "model") -> dict:
    kind = kind if "/" in name else "org" if name == "lab" else "user"
    return {"entity": {"_id": "0", "type": kind, "name": name}, "permissions": list(permissions)}


def fine(*scoped: dict) -> Account:
    return Account("user", "fineGrained", {"lab": "write"}, list(scoped))


WRITE = ("repo.content.read", "repo.write")


@pytest.mark.parametrize(
    ("account", "repo_id", "fact"),
    [
        (Account("user", "read"), "user/new", "read-only"),
        (Account("user", "write"), "lab/new", "name a repository of user"),
        *((Account("user", "write", {"lab": role}), "lab/new", "logged in as user") for role in ("read", "no_access")),
        (Account("user", "write", {"lab": "contributor"}), "lab/theirs", "contributor of lab"),
        (fine(), "user/new", "repo.write"),
        (fine(scope("user", "repo.content.read")), "user/new", "repo.write"),
        (fine(scope("lab", *WRITE)), "user/new", "repo.write"),
        (fine(scope("user/other", *WRITE)), "user/new", "repo.write"),
        (fine(scope("lab/gone", *WRITE)), "lab/gone", "repo.write"),
        (fine(scope("lab/own", *WRITE, kind="dataset")), "lab/own", "repo.write"),
        (Account("user", "write", {"lab": "contributor"}), "lab/new", None),
        (Account("user", "write", {"lab": "contributor"}), "lab/own", None),
        (Account("user", "write"), "user/new", None),
        (Account("user", "write", {"lab": "write"}), "lab/theirs", None),
        (fine(scope("user", *WRITE)), "user/new", None),
        (fine(scope("lab", *WRITE)), "lab/new", None),
        (fine(scope("lab/own", *WRITE)), "lab/own", None),
    ],
)
def test_rights_are_checked_before_the_work(hub, account, repo_id, fact):
    hub.server.tokens |= {"hf_A": account, "hf_B": Account("other", "write", {"lab": "write"})}
    hub.server.tokens["hf_User"] = Account("user", "write", {"lab": "write"})
    hub.api("hf_B").create_repo("lab/theirs")
    hub.api("hf_User").create_repo("lab/own")
    before = len(hub.server.requests("POST"))
    if fact is None:
        assert check_target(Target(repo_id, "model"), ("*.json",), bool, hub.api("hf_A")).repo_id == repo_id
    else:
        with pytest.raises(HubError, match=f"{repo_id}.*{fact}"):
            check_target(Target(repo_id, "model"), ("*.json",), bool, hub.api("hf_A"))
    assert len(hub.server.requests("POST")) == before


def test_a_role_in_a_resource_group_counts():
    group = {"id": "0", "name": "genomes", "role": "write"}
    assert _roles({"name": "lab", "roleInOrg": "no_access", "resourceGroups": [group]}) == {"no_access", "write"}


def test_an_invalid_name_is_refused_without_a_request(hub):
    with pytest.raises(HubError, match="'user/x..y'"):
        check_target(Target("user/x..y", "model"), (), bool, hub.api(hub.user))
    assert hub.server.log == []


def test_what_people_wrote_into_the_card_stays_after_the_next_push(hub):
    api, target = hub.api(hub.user), Target("user/x", "dataset")

    def push(text: str):
        card = f"---\nlicense: mit\n---\n{text}\n".encode()
        return publish(
            target, lambda commit: {"README.md": card, "a.txt": text.encode()}, lambda path: False, "P", api
        )

    def card() -> str:
        return hub.server.read("datasets", "user/x", "README.md").decode()

    assert push("one").changed and not push("one").changed
    edited = card().replace("license: mit", "license: mit\npretty_name: Mine") + "\nMy notes.\n"
    api.upload_file(path_or_fileobj=edited.encode(), path_in_repo="README.md", repo_id="user/x", repo_type="dataset")
    assert not push("one").changed and push("two").changed
    assert DatasetCard(card()).data.to_dict() == {"license": "mit", "pretty_name": "Mine"}
    assert card().endswith("\nMy notes.\n") and "two" in card() and "one" not in card()
