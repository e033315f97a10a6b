"""Downloads: resumed, checked, and clear when they fail."""

import hashlib
import io
import random
import tarfile

import pytest

from course_lib.data.download import Archive, DownloadError, fetch, fetch_and_unpack

BODY = random.Random(0).randbytes(50_000)


def archive(web, body=BODY, name="set.tar.gz", unpacks_to="set"):
    web.files[f"/{name}"] = body
    return Archive(f"{web.url}/{name}", hashlib.md5(body).hexdigest(), unpacks_to)


def tar(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as out:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_fetches_once(web, tmp_path):
    wanted = archive(web)
    for _ in range(2):
        assert fetch(wanted, tmp_path).read_bytes() == BODY
    assert web.asked == [("/set.tar.gz", None)]
    assert [p.name for p in tmp_path.iterdir()] == ["set.tar.gz"]


def test_goes_on_where_a_connection_broke(web, tmp_path):
    web.break_after = [20_000, 15_000]
    assert fetch(archive(web), tmp_path).read_bytes() == BODY
    assert [wanted for _, wanted in web.asked] == [None, "bytes=20000-", "bytes=35000-"]


def test_goes_on_where_an_earlier_run_was_interrupted(web, tmp_path):
    (tmp_path / "set.tar.gz.part").write_bytes(BODY[:30_000])
    assert fetch(archive(web), tmp_path).read_bytes() == BODY
    assert web.asked == [("/set.tar.gz", "bytes=30000-")]


def test_a_part_that_is_whole_already_is_used(web, tmp_path):
    (tmp_path / "set.tar.gz.part").write_bytes(BODY)
    assert fetch(archive(web), tmp_path).read_bytes() == BODY


def test_starts_again_where_the_server_knows_no_ranges(web, tmp_path):
    web.ranges = False
    (tmp_path / "set.tar.gz.part").write_bytes(BODY[:30_000])
    assert fetch(archive(web), tmp_path).read_bytes() == BODY


def test_gives_up_in_the_end_and_keeps_what_has_arrived(web, tmp_path):
    web.break_after = [10_000, 10_000, 10_000]
    wanted = archive(web)
    with pytest.raises(DownloadError, match="30,000 of 50,000 bytes"):
        fetch(wanted, tmp_path)
    assert (tmp_path / "set.tar.gz.part").stat().st_size == 30_000
    assert fetch(wanted, tmp_path).read_bytes() == BODY  # the network is back
    assert web.asked[-1][1] == "bytes=30000-"


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(web, tmp_path):
    web.errors = [503, 500]
    assert fetch(archive(web), tmp_path).read_bytes() == BODY
    web.asked.clear()
    with pytest.raises(DownloadError, match="404"):
        fetch(Archive(f"{web.url}/gone.tgz", "0" * 32, "gone"), tmp_path)
    assert len(web.asked) == 1


def test_a_wrong_checksum_is_refused_and_thrown_away(web, tmp_path):
    wanted = archive(web)
    web.files["/set.tar.gz"] = BODY[:-1] + b"?"
    with pytest.raises(DownloadError, match="thrown away"):
        fetch(wanted, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_does_not_block_the_next_try(web, tmp_path):
    wanted = archive(web)
    (tmp_path / "set.tar.gz.part").write_bytes(b"?" * 60_000)
    with pytest.raises(DownloadError, match="thrown away"):
        fetch(wanted, tmp_path)
    assert fetch(wanted, tmp_path).read_bytes() == BODY


def test_a_file_put_there_by_hand_is_used_or_refused(web, tmp_path):
    wanted = archive(web)
    (tmp_path / "set.tar.gz").write_bytes(BODY)
    assert fetch(wanted, tmp_path).read_bytes() == BODY
    (tmp_path / "set.tar.gz").write_bytes(b"half")
    with pytest.raises(DownloadError, match="Delete it"):
        fetch(wanted, tmp_path)
    assert web.asked == []


def test_offline_says_what_failed_what_to_put_where_and_the_alternative(web, tmp_path):
    nowhere = Archive("http://127.0.0.1:9/pictures.tgz", "f" * 32, "pictures")
    with pytest.raises(DownloadError) as caught:
        fetch(nowhere, tmp_path)
    message = str(caught.value)
    for part in (nowhere.url, "refused", "pictures.tgz", "f" * 32, str(tmp_path), 'DATASET = "shapes"'):
        assert part in message


def test_unpacks_whole_or_not_at_all(web, tmp_path):
    body = tar({"set/a.txt": b"a", "set/deep/b.txt": b"b"})
    fetch_and_unpack(archive(web, body), tmp_path)
    assert (tmp_path / "set/deep/b.txt").read_bytes() == b"b"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set", "set.tar.gz"]
    (tmp_path / "set.tar.gz").unlink()
    fetch_and_unpack(archive(web, body), tmp_path)  # unpacked already: nothing is fetched
    assert len(web.asked) == 1
    broken = body[: len(body) // 2]
    with pytest.raises((EOFError, tarfile.TarError)):
        fetch_and_unpack(archive(web, broken, "other.tgz", "other"), tmp_path)
    assert not (tmp_path / "other").exists()
    assert not list(tmp_path.glob(".unpacking*"))


@pytest.mark.parametrize("filters", [True, False])
def test_an_archive_cannot_write_outside_its_folder(filters, web, tmp_path, monkeypatch):
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)  # as in Python 3.11.0 to 3.11.3
    body = tar({"../escaped.txt": b"x"})
    with pytest.raises(tarfile.TarError):
        fetch_and_unpack(archive(web, body), tmp_path / "data")
    assert not (tmp_path / "escaped.txt").exists()
