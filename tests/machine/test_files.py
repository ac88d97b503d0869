"""Files and folders replaced as a whole."""

import os

import pytest

from dnahub.machine.files import check_folder_name, remove_scratch, replacing, replacing_folder


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


def test_what_killed_processes_left_is_removed_where_they_wrote_and_nothing_else(tmp_path):
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    kept = [tmp_path / name for name in ("a.part", ".a.part", "sub/deep")]
    kept[0].touch(), kept[1].touch()
    for path in (tmp_path / "a", tmp_path / "sub" / "b", tmp_path / "sub" / "deep" / "c"):
        for replace in (replacing, replacing_folder):
            child = os.fork()
            if child == 0:
                with replace(path) as scratch:
                    (scratch / "in" if scratch.is_dir() else scratch).touch()
                    os._exit(0)  # as a kill
            os.waitpid(child, 0)
    assert len([path for path in tmp_path.rglob(".*part") if path.name != ".a.part"]) == 6
    remove_scratch(tmp_path, ["", "sub/"])
    assert len(list((tmp_path / "sub" / "deep").iterdir())) == 2
    remove_scratch(tmp_path, ["sub/**/"])
    assert sorted(tmp_path.iterdir()) == sorted([*kept[:2], tmp_path / "sub"]) and not list(kept[2].iterdir())


@pytest.mark.parametrize("name", ["caf\udce9", "caf\udce9/below"])
def test_a_folder_whose_path_is_not_utf_8_is_refused_by_its_name(tmp_path, name):
    check_folder_name(tmp_path / "café 中")
    with pytest.raises(ValueError, match=r"caf\\xe9.*UTF-8.*rename"):
        check_folder_name(tmp_path / name)


def fill(folder, text):
    (folder / "sub").mkdir()
    for name in ("a", "sub/b"):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)  # as safetensors does


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def is_fixed(monkeypatch, path):
    """As a mount point: it cannot be renamed, nor replaced."""
    rename = type(path).rename

    def fail(source, target):
        if path in (source, target):
            raise OSError(16, "Device or resource busy")
        return rename(source, target)

    monkeypatch.setattr(type(path), "rename", fail)
    monkeypatch.setattr(type(path), "is_mount", lambda each: each == path)


@pytest.mark.parametrize("path", ["new", "parents/are/created", "empty", "full", "link", "mounted"])
def test_a_folder_is_created_or_replaced(tmp_path, monkeypatch, path):
    for name in ("empty", "full", "mounted"):
        (tmp_path / name).mkdir()
    for name in ("full", "mounted"):
        fill(tmp_path / name, "old")
        (tmp_path / name / "old").touch()
    is_fixed(monkeypatch, tmp_path / "mounted")
    (tmp_path / "link").symlink_to("full")
    with replacing_folder(tmp_path / path) as scratch:
        fill(scratch, "new")
    assert files(tmp_path / path) == {"a": "new", "sub/b": "new"}
    assert (tmp_path / path / "a").stat().st_mode & 0o777 != 0o600  # as of a file that open() makes
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


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
