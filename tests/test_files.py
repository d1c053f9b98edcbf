"""A file is there as a whole or not at all."""

import errno
import os
import subprocess
import threading

import pytest

from fastreid_projects import files
from fastreid_projects.errors import DataError
from fastreid_projects.files import (
    full_disk_in_a_sentence,
    remove_unfinished,
    replacing,
    visible_files,
    write_aside,
)


def full_disk():
    return OSError(errno.ENOSPC, "No space left on device")


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = write_aside(tmp_path / "new" / "a.txt", b"old")
    with replacing(path, sync=True) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [full_disk(), ValueError("a bug"), KeyboardInterrupt()])
def test_what_goes_wrong_leaves_the_old_file_alone(tmp_path, error):
    path = write_aside(tmp_path / "a.txt", b"old")

    def write_half():
        with replacing(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(DataError if isinstance(error, OSError) else type(error)) as caught:
        write_half()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]
    if isinstance(error, OSError):
        assert str(caught.value) == f"cannot write {path}: No space left on device"


def ended_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_another_process_is_writing_stays(tmp_path):
    left = tmp_path / f".model.pth.{os.getppid()}.part"
    left.write_bytes(b"half")
    remove_unfinished(tmp_path)
    assert left.exists()


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / f".model.pth.{ended_process()}.part").write_bytes(b"half")
    (tmp_path / "model.pth").write_bytes(b"whole")
    remove_unfinished(tmp_path)
    assert os.listdir(tmp_path) == ["model.pth"]
    with replacing(tmp_path / "b") as file:
        file.write(b"half")
        remove_unfinished()
        assert os.listdir(tmp_path) == ["model.pth"]
        (tmp_path / f".b.{os.getpid()}.part").write_bytes(b"")
    assert not files._unfinished


def test_a_full_disk_is_one_sentence_whoever_meets_it(capsys):
    def work():
        raise full_disk()

    def work_in_a_thread_and_here():
        with full_disk_in_a_sentence("out"):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            work()

    with pytest.raises(DataError, match=r"no room to write out .*--resume"):
        work_in_a_thread_and_here()
    assert capsys.readouterr().err == ""
    with pytest.raises(PermissionError), full_disk_in_a_sentence("out"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_links_are_followed_but_not_in_circles(tmp_path):
    for name in ("shop/b/2", "shop/b/1", "shop/a/3", "shop/.git/4", "shop/a/._3", "elsewhere/5"):
        write_aside(tmp_path / name, b"")
    (tmp_path / "shop" / "c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "shop" / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "elsewhere" / "self").symlink_to(".")
    found = [
        os.path.join(os.path.relpath(here, tmp_path), n)
        for here, names in visible_files(tmp_path / "shop")
        for n in names
    ]
    assert found == ["shop/a/3", "shop/b/1", "shop/b/2", "shop/c/5"]
