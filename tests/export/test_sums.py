"""SHA256SUMS against sha256sum itself."""

import os
import subprocess

import pytest

from waltzjax.export.sums import SUMS, check_sums, digest, write_sums


@pytest.fixture
def tree(tmp_path):
    for name, content in {"b": b"", "a/z": b"abc", "a/y z.txt": b"\0" * 100_000}.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "tree"


def test_it_is_what_sha256sum_writes(tree):
    names = sorted(p.relative_to(tree).as_posix() for p in tree.rglob("*") if p.is_file())
    want = subprocess.run(["sha256sum", *names], cwd=tree, capture_output=True, check=True).stdout
    write_sums(tree)
    assert (tree / SUMS).read_bytes() == want
    assert check_sums(tree) == write_sums(tree)


def test_a_digest_by_hand(tree):
    """FIPS 180-4's example."""
    want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest(tree / "a/z") == want


def test_files_listed_further_down_are_not_read_again(tree, monkeypatch):
    inner = write_sums(tree / "a")
    read = []

    def counted(path):
        read.append(path.relative_to(tree).as_posix())
        return digest(path)

    monkeypatch.setattr("waltzjax.export.sums.digest", counted)
    outer = write_sums(tree)
    assert sorted(read) == ["a/SHA256SUMS", "b"]
    assert {k.removeprefix("a/"): v for k, v in outer.items() if k.startswith("a/")} == {
        **inner, SUMS: digest(tree / "a" / SUMS),
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "abc  b\n", "z" * 64 + "  b\n"])
def test_what_is_no_list_is_refused(text, tree):
    (tree / SUMS).write_text(text)
    with pytest.raises(ValueError, match="SHA256SUMS: expected lines"):
        check_sums(tree)


def test_what_is_no_file_is_refused_and_never_read(tree, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").touch()
    write_sums(tree)
    (tree / "b").unlink()
    os.mkfifo(tree / "b")
    (tree / "a/broken").symlink_to("nowhere")
    (tree / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError) as caught:
        check_sums(tree)
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "a/broken: is no file", "b: is no file", "linked: is no file",
    ]  # fmt: skip


def test_a_link_to_the_very_file_is_the_file(tree, tmp_path):
    want = write_sums(tree)
    (tree / "b").rename(tmp_path / "blob")
    (tree / "b").symlink_to(tmp_path / "blob")
    assert check_sums(tree) == want
