"""Files and folders replaced as a whole."""

import os
import subprocess
import sys

import pytest

from dnahub.machine.files import replacing, replacing_folder


def test_a_file_is_replaced_when_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with replacing(path) as scratch:
        scratch.write_text("new")
        assert path.read_text() == "old" and scratch.parent == tmp_path
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("replace", [replacing, replacing_folder])
def test_after_an_error_the_path_is_what_it_was_and_nothing_is_left(tmp_path, replace, error):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(error), replace(path) as scratch:
        (scratch / "b" if scratch.is_dir() else scratch).write_text("half")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_two_writers_of_one_file_do_not_share_a_scratch(tmp_path):
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a").read_text() == "one"  # the last to end


def fill(folder, text):
    (folder / "sub").mkdir()
    for name in ("a", "sub/b"):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)  # as safetensors does


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", ["new", "parents/are/created", "empty", "full", "link"])
def test_a_folder_is_created_or_replaced(tmp_path, path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "old").write_text("old")
    (tmp_path / "link").symlink_to("full")
    with replacing_folder(tmp_path / path) as scratch:
        fill(scratch, "new")
    assert files(tmp_path / path) == {"a": "new", "sub/b": "new"}
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_files_get_the_permissions_that_open_gives(tmp_path):
    (tmp_path / "by_open").touch()
    with replacing_folder(tmp_path / "folder") as scratch:
        fill(scratch, "new")
    for name in ("a", "sub/b"):
        assert (tmp_path / "folder" / name).stat().st_mode == (tmp_path / "by_open").stat().st_mode


def is_fixed(monkeypatch, path):
    """As a mount point: it cannot be renamed, nor replaced."""
    rename = type(path).rename

    def fail(source, target):
        if path in (source, target):
            raise OSError(16, "Device or resource busy")
        return rename(source, target)

    monkeypatch.setattr(type(path), "rename", fail)
    monkeypatch.setattr(type(path), "is_mount", lambda each: each == path)


def test_the_contents_of_a_mount_point_are_replaced(tmp_path, monkeypatch):
    fill(tmp_path, "old")
    (tmp_path / "old").write_text("old")
    is_fixed(monkeypatch, tmp_path)
    with replacing_folder(tmp_path) as scratch:
        fill(scratch, "new")
        assert files(scratch) == {"a": "new", "sub/b": "new"}
    assert files(tmp_path) == {"a": "new", "sub/b": "new"} and sorted(os.listdir(tmp_path)) == ["a", "sub"]


@pytest.mark.parametrize("mounted", [False, True])
def test_a_failing_rename_brings_the_old_folder_back(tmp_path, monkeypatch, mounted):
    folder = tmp_path / "folder"
    folder.mkdir()
    fill(folder, "old")
    if mounted:
        is_fixed(monkeypatch, folder)
    rename = type(folder).rename
    last = (folder / "sub").resolve() if mounted else folder

    def fail_into_place(source, target):
        if target == last and "old" not in source.parts:
            raise OSError("busy")
        return rename(source, target)

    monkeypatch.setattr(type(folder), "rename", fail_into_place)
    with pytest.raises(OSError, match="busy"), replacing_folder(folder) as scratch:
        fill(scratch, "new")
    assert files(folder) == {"a": "old", "sub/b": "old"} and os.listdir(tmp_path) == ["folder"]


MOUNTED = """
import sys
from pathlib import Path
from dnahub.machine.files import replacing_folder
with replacing_folder(Path(sys.argv[1])) as scratch:
    (scratch / "new").write_text("new")
"""


def test_a_real_mount_point_is_replaced(tmp_path):
    (tmp_path / "volume").mkdir()
    command = 'mount -t tmpfs none "$0" && touch "$0/old" && "$1" -c "$2" "$0" && ls -A "$0"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, tmp_path / "volume", sys.executable, MOUNTED],
        capture_output=True,
        text=True,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        return  # the system does not let this user mount; the tests above replace the mount point
    assert done.stdout.split() == ["new"], done.stderr
