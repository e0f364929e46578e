import fsspec
import pytest

from corpuskit.errors import UsageError
from corpuskit.sources.listing import list_files


@pytest.fixture
def folder(tmp_path):
    for name, data in {
        "raw/b.jsonl": b"{}\n",
        "raw/a/one.jsonl.gz": b"\x1f\x8b\x08rest",
        "raw/a/deep/two.jsonl": b"",
        "raw/a/.hidden.jsonl": b"{}",
        "raw/c.txt": b"text",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def relatives(files):
    return [file.relative for file in files]


def test_globs_go_deep_and_come_sorted_with_hidden_and_empty_files(folder):
    files = list_files("raw/**/*.jsonl*", folder)
    assert relatives(files) == ["a/.hidden.jsonl", "a/deep/two.jsonl", "a/one.jsonl.gz", "b.jsonl"]
    assert [file.size for file in files] == [2, 0, 7, 3]
    assert all(file.identity.isdecimal() for file in files)


def test_a_folder_means_everything_below_it(folder):
    assert relatives(list_files("raw/a", folder)) == [".hidden.jsonl", "deep/two.jsonl", "one.jsonl.gz"]


def test_a_file_stands_alone(folder):
    assert relatives(list_files("raw/c.txt", folder)) == ["c.txt"]


def test_patterns_share_the_deepest_common_folder_and_no_file_comes_twice(folder):
    files = list_files(["raw/a/*.gz", "raw/a/**", "./raw/c.txt", str(folder / "raw/c.txt")], folder)
    assert relatives(files) == ["a/.hidden.jsonl", "a/deep/two.jsonl", "a/one.jsonl.gz", "c.txt"]


def test_relative_paths_do_not_depend_on_which_files_are_there(folder):
    before = relatives(list_files("raw/a/**/two.jsonl", folder))
    (folder / "raw/a/two.jsonl").write_bytes(b"")
    assert before == ["deep/two.jsonl"]
    assert relatives(list_files("raw/a/**/two.jsonl", folder)) == ["deep/two.jsonl", "two.jsonl"]


def test_compressed_files_are_told_by_their_first_bytes(folder):
    assert [file.compressed for file in list_files("raw/**/*.jsonl*", folder)] == [False, False, True, False]


def test_nothing_found_names_the_nearest_folder_and_its_content(folder):
    with pytest.raises(UsageError, match=r"matches no file") as caught:
        list_files("raw/a/missing/*.gz", folder)
    assert str(folder / "raw/a") in str(caught.value)
    assert "one.jsonl.gz" in str(caught.value)


def test_stores_are_listed_as_folders_are():
    for name in ("x/b.jsonl", "x/sub/a.jsonl", "x/sub/c.txt"):
        with fsspec.open(f"memory://listing/{name}", "wb") as stream:
            stream.write(b"{}\n")
    files = list_files("memory://listing/x/**/*.jsonl", None)
    assert relatives(files) == ["b.jsonl", "sub/a.jsonl"]
    assert all(file.identity and file.size == 3 for file in files)
    assert relatives(list_files("memory://listing/x", None)) == ["b.jsonl", "sub/a.jsonl", "sub/c.txt"]
    assert relatives(list_files("memory://listing/x/b.jsonl", None)) == ["b.jsonl"]
    with pytest.raises(UsageError, match=r"matches no file"):
        list_files("memory://listing/x/*.gz", None)


def test_one_source_does_not_span_stores(folder):
    with pytest.raises(UsageError, match=r"several stores"):
        list_files(["raw/c.txt", "memory://listing/x"], folder)
