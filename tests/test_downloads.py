"""Downloads from a server on this machine: retried, checked, whole or not at all, and a list without a network."""

import gzip
import hashlib
import os
import stat

import numpy as np
import pytest
import yaml

from deepgen_bench.datasets.public.mnist import MNIST
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.downloads import Download, fetch

CONTENT = bytes(range(256)) * 1000


def digest(data):
    return f"md5:{hashlib.md5(data).hexdigest()}"


@pytest.fixture
def file(tmp_path, web):
    web.files["/x.gz"] = CONTENT
    return Download(tmp_path / "folder" / "x.gz", (f"{web.address}/x.gz",), digest(CONTENT))


def left(tmp_path):
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file())


def test_a_file_is_fetched_once_and_readable_by_all(file, web, tmp_path, capfd):
    assert file.state == "missing"
    fetch("thing", [file])
    assert file.path.read_bytes() == CONTENT and file.state == "present"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o666 & ~umask
    fetch("thing", [file])
    assert web.asked == ["/x.gz"] and web.waits == [] and left(tmp_path) == ["x.gz"]
    assert capfd.readouterr() == ("", "")


def test_a_placed_file_is_left_alone_even_if_it_is_altered(file, web):
    file.path.parent.mkdir()
    file.path.write_bytes(b"mine")
    fetch("thing", [file])
    assert file.path.read_bytes() == b"mine" and file.state == "altered" and not web.asked


def test_files_instead_make_a_download_unnecessary(file, web, tmp_path):
    parts = (tmp_path / "a", tmp_path / "b")
    other = Download(file.path, file.urls, file.digest, parts)
    parts[0].touch()
    assert not other.present
    parts[1].touch()
    fetch("thing", [other])
    assert other.state == "present" and not web.asked


@pytest.mark.parametrize("fault", [500, 503, 404, "cut"])
def test_a_server_that_fails_twice_is_asked_again_later_and_later(fault, file, web, tmp_path):
    web.faults["/x.gz"] = [fault, fault]
    fetch("thing", [file])
    assert file.path.read_bytes() == CONTENT
    assert len(web.asked) == 3 and web.waits == [1, 2] and left(tmp_path) == ["x.gz"]


def test_the_next_address_is_asked_where_the_first_fails(file, web):
    both = Download(file.path, (f"{web.address}/absent/x.gz", *file.urls), file.digest)
    fetch("thing", [both])
    assert web.asked == ["/absent/x.gz"] * 4 + ["/x.gz"] and web.waits == [1, 2, 3]


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda web: web.files.update({"/x.gz": b"other"}), "the content does not have the digest md5:"),
        (lambda web: web.faults.update({"/x.gz": ["cut"] * 9}), "128000 bytes read, 128000 more expected"),
        (lambda web: web.files.clear(), "404 Client Error"),
        (lambda web: (web.server.shutdown(), web.server.server_close()), "Connection refused"),
    ],
)
def test_a_failure_is_one_line_with_the_reason_and_what_to_place_where(prepare, reason, file, web, tmp_path):
    other = Download(file.path.with_name("y.gz"), (f"{web.address}/y.gz",), digest(b""))
    prepare(web)
    with pytest.raises(UserError) as error:
        fetch("thing", [file, other])
    message = str(error.value)
    assert message.startswith(f"thing: cannot download {web.address}/x.gz: ") and reason in message
    assert message.endswith(f"Alternatively, place x.gz, y.gz from {web.address}/ in {tmp_path / 'folder'}")
    assert message.isprintable() and left(tmp_path) == []


def test_a_name_that_no_server_has_and_a_server_that_does_not_answer(tmp_path, web, monkeypatch):
    monkeypatch.setattr("deepgen_bench.storage.downloads.TIMEOUT", (0.2, 0.2))
    monkeypatch.setattr("deepgen_bench.storage.downloads.ATTEMPTS", 2)
    with pytest.raises(UserError, match="cannot download http://nowhere.invalid/x: .*[Nn]ame"):
        fetch("thing", [Download(tmp_path / "x", ("http://nowhere.invalid/x",), digest(b""))])
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(UserError, match=f"cannot download {url}: .*timed out"):
            fetch("thing", [Download(tmp_path / "x", (url,), digest(b""))])


def test_a_place_that_cannot_be_written_to(file, web, tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(UserError, match=f"{tmp_path / 'folder'}: cannot be written to"):
        fetch("thing", [file])


# a dataset and its list


@pytest.fixture
def mnist(tmp_path, web, monkeypatch):
    """MNIST's archives on the local server, small ones."""
    md5 = {}
    for name in MNIST.archive_md5:
        n = 60 if "train" in name else 20
        shape = (n, 28, 28) if "images" in name else (n,)
        data = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + bytes(int(np.prod(shape)))
        web.files[f"/mnist/{name}.gz"] = gzip.compress(data)
        md5[name] = hashlib.md5(web.files[f"/mnist/{name}.gz"]).hexdigest()
    monkeypatch.setattr(MNIST, "sha256", {})
    monkeypatch.setattr(MNIST, "archive_md5", md5)
    monkeypatch.setattr(MNIST, "mirrors", (f"{web.address}/mnist/",))
    path = tmp_path / "x.yaml"
    settings = {"data_dir": str(tmp_path / "data"), "n_validation": 10}
    path.write_text(
        yaml.safe_dump(
            {"name": "t", "datasets": {"mnist": {"budget": 9, "settings": settings}}, "models": {"oracle": {}}}
        )
    )
    return path


def test_missing_files_of_a_dataset_are_fetched_and_others_left_alone(mnist, web, tmp_path, command):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    placed = gzip.decompress(web.files["/mnist/train-labels-idx1-ubyte.gz"])
    (raw / "train-labels-idx1-ubyte").write_bytes(placed)
    code, out, err = command("prepare", mnist, "--dataset", "mnist", "--results", tmp_path / "results")
    assert (code, err) == (0, "") and "{'test': 20, 'train': 50, 'validation': 10}" in out
    assert len(web.asked) == 3 and "/mnist/train-labels-idx1-ubyte.gz" not in web.asked
    assert (raw / "train-labels-idx1-ubyte").read_bytes() == placed


def test_without_a_network_one_line_and_a_list_say_what_to_place(mnist, web, tmp_path, command):
    files, folder = dict(web.files), tmp_path / "data" / "MNIST" / "raw"
    web.files.clear()
    code, out, err = command("prepare", mnist, "--dataset", "mnist", "--results", tmp_path / "results")
    assert (code, out, err.count("\n")) == (2, "", 1) and not list((tmp_path / "results").rglob("*.npy"))
    assert f"place {', '.join(f'{name}.gz' for name in MNIST.archive_md5)} from {web.address}/mnist/ in {folder}" in err
    code, out, err = command("downloads", mnist)
    assert (code, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == ["missing"] * 4
    for _, path, known, url in rows:  # placed by hand from what each row says
        content = files[url.removeprefix(web.address)]
        assert known == digest(content) and path.startswith(str(folder))
        with open(path, "wb") as file:
            file.write(content)
    assert command("downloads", mnist)[1].count("present\t") == 4
    assert command("prepare", mnist, "--dataset", "mnist", "--results", tmp_path / "results")[0] == 0
