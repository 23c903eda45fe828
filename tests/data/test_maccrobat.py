"""Every source gives the same documents, byte for byte, or an error that says what to do."""

import hashlib
import http.server
import io
import json
import shutil
import socket
import stat
import struct
import threading
import warnings
import zipfile
from pathlib import Path

import pytest

from spacy_btl.data import maccrobat
from spacy_btl.data.maccrobat import SAMPLE_HEADING, CorpusError, prepare_corpus, read_info
from tests.helpers.files import tree
from tests.helpers.files import write_tree as write

# A carriage return, a byte that is not UTF-8, a byte order mark: all must survive.
PAIRS = {"1.txt": b"A man\r\n\xff.\n", "1.ann": b"T1\tSex 2 5\tman\r\n", "2.txt": b"\xef\xbb\xbfx"}
PAIRS |= {"2.ann": b""}
DEAD_URL = "http://127.0.0.1:9/"  # the discard port: refused at once


def documents(folder):
    return {name: content for name, content in tree(folder).items() if name != "corpus.json"}


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


OLD = zipped({"MACCROBAT2018/1.txt": b"old", "MACCROBAT2018/1.ann": b"old"})
NEW = zipped({f"MACCROBAT2020/{name}": content for name, content in PAIRS.items()})
PUBLISHED = zipped({"MACCROBAT2018.zip": OLD, "MACCROBAT2020.zip": NEW})


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    (tmp_path / "assets").mkdir()
    monkeypatch.setattr(maccrobat, "TIMEOUT", 5.0)

    def call(source="maccrobat", out="out", sample="never", url=DEAD_URL, sha256=None):
        monkeypatch.setattr(maccrobat, "FIGSHARE_URL", url)
        return prepare_corpus(
            str(source),
            tmp_path / out,
            assets_dir=tmp_path / "assets",
            sample=sample,
            sha256=sha256,
        )

    return call


def assert_nothing_left(tmp_path, out="out"):
    """Check that there is no target, and no temporary folder beside it."""
    assert [p.name for p in tmp_path.iterdir() if out in p.name] == []


# -- folders ---------------------------------------------------------------------------------------

FOLDERS = [
    # what the folder holds                           what is copied                      unpaired
    (["1.txt", "1.ann"], ["1.txt", "1.ann"], 0),
    (["1.txt", "1.a1"], ["1.txt", "1.a1"], 0),
    (["1.txt", "1.a1", "1.a2"], ["1.txt", "1.a1", "1.a2"], 0),
    (["a/1.txt", "a/1.ann", "b/1.txt", "b/1.ann"], ["a/1.txt", "a/1.ann", "b/1.txt", "b/1.ann"], 0),
    (["PMC-1.2.txt", "PMC-1.2.ann"], ["PMC-1.2.txt", "PMC-1.2.ann"], 0),
    (["1.txt", "1.ann", "2.txt", "3.ann"], ["1.txt", "1.ann"], 1),
    (["1.txt", "1.ann", "stats_cache", "a.conf", "corpus.json"], ["1.txt", "1.ann"], 0),
    (["1.txt", "1.ann", "._2.txt", "._2.ann", "__MACOSX/3.txt"], ["1.txt", "1.ann"], 0),
]


@pytest.mark.parametrize(("held", "copied", "unpaired"), FOLDERS)
def test_a_folder_gives_its_pairs(tmp_path, prepare, held, copied, unpaired):
    source = write(tmp_path / "in", {name: b"content of " + name.encode() for name in held})
    info = prepare(source)
    assert documents(tmp_path / "out") == {n: b"content of " + n.encode() for n in copied}
    assert info.documents == sum(name.endswith(".txt") for name in copied)
    assert info.unpaired == unpaired


@pytest.mark.parametrize(
    "held", [[], ["1.txt"], ["1.ann"], ["1.txt", "2.ann"], ["1.txt", "a/1.ann"]]
)
def test_a_folder_without_a_pair_is_refused(tmp_path, prepare, held):
    source = write(tmp_path / "in", dict.fromkeys(held, b""))
    source.mkdir(exist_ok=True)
    with pytest.raises(CorpusError, match=r"no \.txt file with"):
        prepare(source)
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("source", ["", "nowhere", "MACCROBAT"])
def test_what_is_no_folder_is_refused(prepare, source):
    with pytest.raises(CorpusError, match='neither "maccrobat" nor a folder'):
        prepare(source)


def test_a_tilde_is_the_home_folder_unless_a_folder_has_that_name(tmp_path, prepare, monkeypatch):
    write(tmp_path / "home" / "my data", PAIRS)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert prepare("~/my data").documents == 2
    write(tmp_path / "~" / "my data", {"1.txt": b"x", "1.ann": b""})
    assert prepare("~/my data").documents == 1


def test_bytes_and_provenance(tmp_path, prepare, monkeypatch):
    write(tmp_path / "in", PAIRS)
    monkeypatch.chdir(tmp_path)
    info = prepare("in")  # counts from the current directory
    assert documents(tmp_path / "out") == PAIRS
    assert (info.source, info.title, info.doi, info.license, info.citation) == ("folder", *[""] * 4)
    assert (info.documents, info.bundled_sample, info.heading) == (2, False, "")
    assert read_info(tmp_path / "out") == info


def test_the_hash_knows_names_and_contents(tmp_path, prepare):
    changes = [
        PAIRS,
        {**PAIRS, "other.conf": b"not copied"},
        {**PAIRS, "2.ann": b"changed"},
        {**PAIRS, "3.txt": PAIRS["2.txt"], "3.ann": PAIRS["2.ann"]},
        {f"sub/{name}": content for name, content in PAIRS.items()},
    ]
    hashes = [prepare(write(tmp_path / str(i), files)).sha256 for i, files in enumerate(changes)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


def test_other_documents_than_those_expected_are_refused(tmp_path, prepare):
    source = write(tmp_path / "in", PAIRS)
    info = prepare(source)
    assert prepare(source, sha256=info.sha256) == info
    write(source, {"1.ann": b"changed"})
    with pytest.raises(CorpusError, match=rf"have SHA-256 [0-9a-f]{{64}}, not {info.sha256}"):
        prepare(source, sha256=info.sha256)
    assert documents(tmp_path / "out") == PAIRS


# -- the target ------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing_and_a_third_replaces_all(tmp_path, prepare):
    source = write(tmp_path / "in", PAIRS)
    first = prepare(source)
    before = tree(tmp_path / "out")
    assert prepare(source) == first
    assert tree(tmp_path / "out") == before
    prepare(write(tmp_path / "in2", {"9.txt": b"", "9.ann": b""}))
    assert set(tree(tmp_path / "out")) == {"9.txt", "9.ann", "corpus.json"}
    assert {p.name for p in tmp_path.iterdir()} == {"assets", "in", "in2", "out"}


TARGETS = [
    # what is at the target                     refused
    ({}, False),
    ({"notes.md": b"mine"}, True),
    ({"1.txt": b"", "1.ann": b""}, True),
    ({"corpus.json": b"not JSON"}, True),
    ({"corpus.json": b'{"title": "of another program"}'}, True),
]


@pytest.mark.parametrize(("held", "refused"), TARGETS)
def test_a_foreign_target_is_left_alone(tmp_path, prepare, held, refused):
    write(tmp_path / "in", PAIRS)
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", held)
    if refused:
        with pytest.raises(CorpusError, match="not made by this command"):
            prepare(tmp_path / "in")
        assert tree(tmp_path / "out") == held
    else:
        prepare(tmp_path / "in")
        assert documents(tmp_path / "out") == PAIRS


def test_a_file_at_the_target_is_left_alone(tmp_path, prepare):
    write(tmp_path, {"out": b"mine"})
    with pytest.raises(CorpusError, match="not made by this command"):
        prepare(write(tmp_path / "in", PAIRS))
    assert (tmp_path / "out").read_bytes() == b"mine"


@pytest.mark.parametrize(("source", "out"), [("in", "in/out"), ("out/in", "out"), ("out", "out")])
def test_source_and_target_must_not_overlap(tmp_path, prepare, source, out):
    prepare(write(tmp_path / "first", {f"in/{name}": c for name, c in PAIRS.items()}), out="out")
    write(tmp_path / "in", PAIRS)
    before = tree(tmp_path)
    with pytest.raises(CorpusError, match="must not overlap"):
        prepare(tmp_path / source, out=out)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("existing", [False, True])
def test_a_failure_in_the_middle_leaves_what_was_there(tmp_path, prepare, monkeypatch, existing):
    source = write(tmp_path / "in", PAIRS)
    if existing:
        prepare(source)
    before = tree(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(maccrobat.shutil, "copyfile", full)
    with pytest.raises(CorpusError, match="No space left"):
        prepare(source)
    assert tree(tmp_path) == before


def test_a_failed_swap_puts_the_old_corpus_back(tmp_path, prepare, monkeypatch):
    source = write(tmp_path / "in", PAIRS)
    prepare(source)
    before = tree(tmp_path)
    rename = Path.rename

    def fail_for_the_new(self, target):
        if self.name.startswith(".out.new-"):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with pytest.raises(CorpusError, match="Permission denied"):
        prepare(source)
    (new,) = tmp_path.glob(".out.new-*")
    assert documents(new) == PAIRS
    shutil.rmtree(new)
    assert tree(tmp_path) == before


# -- MACCROBAT in the assets -----------------------------------------------------------------------

ASSETS = [
    # what the assets hold                                                         kind
    ({f"maccrobat/{name}": content for name, content in PAIRS.items()}, "assets"),
    ({f"maccrobat/MACCROBAT2020/{name}": content for name, content in PAIRS.items()}, "assets"),
    (
        {f"maccrobat/MACCROBAT2020/{name}": content for name, content in PAIRS.items()}
        | {"maccrobat/MACCROBAT2018/1.txt": b"old", "maccrobat/MACCROBAT2018/1.ann": b"old"},
        "assets",
    ),
    (
        {f"maccrobat/{n}": c for n, c in PAIRS.items()} | {"MACCROBAT2020.zip": b"not read"},
        "assets",
    ),
    ({"maccrobat/9764942.zip": PUBLISHED}, "zip"),
    ({"maccrobat/MACCROBAT2020.zip": NEW, "maccrobat/MACCROBAT2018.zip": OLD}, "zip"),
    ({"9764942.zip": PUBLISHED}, "zip"),
    ({"9764942.zip": b"not read", "MACCROBAT.zip": b"not read", "MACCROBAT2020.zip": NEW}, "zip"),
    ({"my-maccrobat.zip": PUBLISHED}, "zip"),
    ({"MACCROBAT2020.zip": NEW, "._MACCROBAT2020.zip": b"of a Mac"}, "zip"),
    ({"MACCROBAT2020.zip": zipped(PAIRS)}, "zip"),
    ({"MACCROBAT2020.zip": zipped({**PAIRS, "__MACOSX/._1.txt": b"", "readme.md": b""})}, "zip"),
    ({".download/MACCROBAT.zip": PUBLISHED}, "download"),
]


@pytest.mark.parametrize(("held", "kind"), ASSETS)
def test_maccrobat_is_the_same_wherever_it_is_found(tmp_path, prepare, held, kind):
    write(tmp_path / "assets", held)
    info = prepare()
    assert documents(tmp_path / "out") == PAIRS
    assert (info.source, info.documents, info.bundled_sample) == (kind, 2, False)
    assert info.title == "MACCROBAT2020"
    assert info.doi == "10.6084/m9.figshare.9764942.v2"
    assert info.license == "CC BY 4.0"
    assert "180258" in info.citation
    assert info.sha256 == prepare(write(tmp_path / "in", PAIRS), out="out2").sha256


def test_links_to_other_folders_are_not_followed(tmp_path, prepare):
    assets = write(tmp_path / "assets/maccrobat", PAIRS)
    (assets / "2020").symlink_to(write(tmp_path / "other", {"9.txt": b"", "9.ann": b""}))
    prepare()
    assert documents(tmp_path / "out") == PAIRS


@pytest.mark.parametrize(
    "held", [{"MACCROBAT2018.zip": OLD}, {"other.zip": NEW}, {"maccrobat/readme.txt": b""}]
)
def test_what_is_not_the_edition_of_2020_is_not_taken(tmp_path, prepare, held):
    write(tmp_path / "assets", held)
    with pytest.raises(CorpusError, match="could not be fetched"):
        prepare()


# -- broken and hostile zips -----------------------------------------------------------------------


HOSTILE = ["../evil.txt", "a/../../evil.txt", "/evil.txt", "__MACOSX/../../evil.txt", "../evil.pdf"]


@pytest.mark.parametrize(("nested", "sample"), [(False, "allow"), (True, "never")])
@pytest.mark.parametrize("evil", HOSTILE)
def test_a_member_that_leaves_the_folder(tmp_path, prepare, evil, nested, sample):
    content = zipped({**PAIRS, evil: b"x"})
    content = zipped({"MACCROBAT2020.zip": content}) if nested else content
    write(tmp_path / "assets", {"9764942.zip": content, "sample/1.txt": b"", "sample/1.ann": b""})
    before = tree(tmp_path)
    with pytest.raises(CorpusError, match="is outside the folder") as caught:
        prepare(sample=sample)  # the sample does not avoid it
    assert ("MACCROBAT2020.zip" if nested else "9764942.zip") in str(caught.value)
    assert tree(tmp_path) == before
    assert_nothing_left(tmp_path)


def test_a_link_in_a_zip_is_a_file(tmp_path, prepare):
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, b"/etc/passwd")
        archive.writestr("link.ann", b"")
    write(tmp_path / "assets", {"MACCROBAT2020.zip": buffer.getvalue()})
    prepare()
    assert documents(tmp_path / "out") == {"link.txt": b"/etc/passwd", "link.ann": b""}
    assert not (tmp_path / "out" / "link.txt").is_symlink()


def test_a_file_that_would_be_a_folder(tmp_path, prepare):
    write(tmp_path / "assets", {"MACCROBAT2020.zip": zipped({**PAIRS, "1.txt/2.txt": b"x"})})
    with pytest.raises(CorpusError, match="could not be prepared"):
        prepare()
    assert_nothing_left(tmp_path)


def with_wrong_crc(content):
    where = content.index(PAIRS["1.ann"])
    return content[:where] + b"X" + content[where + 1 :]


def encrypted(content):
    """Return the flag of encryption set in each local and central header."""
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        head, *rest = content.split(mark)
        at = offset - 4
        content = mark.join([head, *(r[:at] + bytes([r[at] | 1]) + r[at + 1 :] for r in rest)])
    return content


def stored(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


BROKEN = [
    ("empty", b"", "cannot be unpacked"),
    ("HTML", b"<html>Sign in</html>", "cannot be unpacked"),
    ("cut off", NEW[: len(NEW) // 2], "cannot be unpacked"),
    ("wrong checksum", with_wrong_crc(stored(PAIRS)), "cannot be unpacked"),
    ("encrypted", encrypted(stored(PAIRS)), "cannot be unpacked"),
    ("no documents", zipped({"readme.md": b""}), "no .txt file with"),
    ("no pairs", zipped({"1.txt": b"", "2.ann": b""}), "no .txt file with"),
    ("only the old edition", zipped({"MACCROBAT2018.zip": OLD}), "no .txt file with"),
    ("two levels", zipped({"MACCROBAT2020.zip": zipped({"MACCROBAT2020.zip": NEW})}), "no .txt"),
    ("broken inside", zipped({"MACCROBAT2020.zip": NEW[:-30]}), "2020.zip cannot be unpacked"),
]


@pytest.mark.parametrize(("content", "text"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_broken_zips_leave_nothing(tmp_path, prepare, content, text):
    write(tmp_path / "assets", {"MACCROBAT2020.zip": content})
    with pytest.raises(CorpusError, match=text):
        prepare()
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("at", range(0, len(NEW), 7))
def test_a_flipped_byte_is_an_error_of_ours_or_harmless(tmp_path, prepare, at):
    content = bytearray(NEW)
    content[at] ^= 0xFF
    write(tmp_path / "assets", {"MACCROBAT2020.zip": bytes(content)})
    try:
        prepare()
    except CorpusError:
        assert_nothing_left(tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path, prepare, monkeypatch):
    monkeypatch.setattr(maccrobat, "MAX_UNPACKED", sum(map(len, PAIRS.values())) - 1)
    write(tmp_path / "assets", {"MACCROBAT2020.zip": NEW})
    with pytest.raises(CorpusError, match=r"more than \d+ bytes when unpacked"):
        prepare()
    assert_nothing_left(tmp_path)


def test_a_bomb_that_declares_less_than_it_has(tmp_path, prepare, monkeypatch):
    """Unpacking ends at the declared size, which is bounded."""
    written = []
    monkeypatch.setattr(maccrobat.shutil, "copyfileobj", lambda a, b: written.append(a.read(2**20)))
    content = zipped({"a.txt": b"\0" * 10_000_000, "a.ann": b""})
    assert len(content) < 20_000
    small = content.replace(struct.pack("<I", 10_000_000), struct.pack("<I", 10))
    write(tmp_path / "assets", {"MACCROBAT2020.zip": small})
    with pytest.raises(CorpusError, match="cannot be unpacked"):
        prepare()
    assert all(len(data) <= 10 for data in written)
    assert_nothing_left(tmp_path)


# -- the publisher ---------------------------------------------------------------------------------


class Publisher(http.server.ThreadingHTTPServer):
    """Plays the publisher's API at /list and its file at /file; tests set what it does."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server_address[1]}"
        self.content = PUBLISHED
        self.entry = {
            "name": "MACCROBAT.zip",
            "computed_md5": hashlib.md5(PUBLISHED).hexdigest(),
            "download_url": f"{self.base}/file",
        }
        self.listing = None  # bytes instead of the JSON list
        self.status = {}  # path -> HTTP status instead of an answer
        self.break_after = None  # bytes after which the file breaks off
        self.seen = []  # paths asked for


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        play = self.server
        play.seen.append(self.path)
        if self.path in play.status:
            self.answer(play.status[self.path], b"refused")
        elif self.path == "/list":
            files = [{"name": "readme.md"}, {"name": "MACCROBAT2018.zip"}, play.entry]
            self.answer(200, play.listing or json.dumps({"files": files}).encode())
        else:
            self.answer(200, play.content, play.break_after)

    def do_CONNECT(self):
        self.server.seen.append(self.path)
        self.send_error(403)

    def answer(self, status, body, break_after=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:break_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def publisher():
    with Publisher() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def downloads(tmp_path):
    return tree(tmp_path / "assets" / ".download")


@pytest.mark.parametrize(
    ("name", "content"),
    [("MACCROBAT.zip", PUBLISHED), ("9764942.zip", PUBLISHED), ("MACCROBAT2020.zip", NEW)],
)
def test_a_download_is_checked_unpacked_and_reused(tmp_path, prepare, publisher, name, content):
    publisher.content = content
    publisher.entry |= {"name": name, "computed_md5": hashlib.md5(content).hexdigest()}
    with pytest.warns(UserWarning, match="was not verified; [0-9a-f]{64} is the SHA-256"):
        info = prepare(url=f"{publisher.base}/list")
    assert (info.source, info.documents, info.doi[-2:]) == ("download", 2, "v2")
    assert documents(tmp_path / "out") == PAIRS
    assert downloads(tmp_path) == {name: content}
    assert publisher.seen == ["/list", "/file"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prepare(url=f"{publisher.base}/list", sha256=info.sha256) == info
    assert len(publisher.seen) == 2  # nothing was asked again


@pytest.mark.filterwarnings("ignore:whether the download")
def test_a_download_that_broke_off_begins_again(tmp_path, prepare, publisher):
    publisher.break_after = 100
    with pytest.raises(CorpusError, match=r"could not be fetched"):
        prepare(url=f"{publisher.base}/list")
    assert downloads(tmp_path) == {}
    publisher.break_after = None
    prepare(url=f"{publisher.base}/list")
    assert documents(tmp_path / "out") == PAIRS


FAILURES = [
    # what the publisher does                                       what the error says
    ({"status": {"/list": 403}}, "/list: .*403"),
    ({"status": {"/list": 500}}, "/list: .*500"),
    ({"status": {"/file": 404}}, "/file"),
    ({"listing": b"<html>Sign in"}, "/list: JSONDecodeError"),
    ({"listing": b'{"files": ['}, "/list: JSONDecodeError"),
    ({"listing": b"[]"}, "/list: TypeError"),
    ({"listing": b"{}"}, "/list: KeyError"),
    ({"listing": b'{"files": null}'}, "/list: TypeError"),
    ({"listing": b'{"files": [{"name": "a.pdf"}]}'}, r"no MACCROBAT zip is among \['a.pdf'\]"),
    ({"content": PUBLISHED[:-1] + b"x"}, "hash"),
    ({"content": b"<html>Sign in"}, "hash"),
]


@pytest.mark.parametrize(("does", "text"), FAILURES)
def test_a_failing_publisher_is_described(tmp_path, prepare, publisher, does, text):
    vars(publisher).update(does)
    with pytest.raises(CorpusError, match=text) as caught:
        prepare(url=f"{publisher.base}/list")
    assert "could not be fetched" in str(caught.value)
    assert downloads(tmp_path) == {}
    assert_nothing_left(tmp_path)


ENTRIES = [
    {"name": "a/MACCROBAT.zip"},
    {"name": "../MACCROBAT.zip"},
    {"computed_md5": ""},
    {"computed_md5": None},
    {"download_url": "file:///etc/passwd"},
    {"download_url": None},
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_unusable_entry_is_not_fetched(tmp_path, prepare, publisher, entry):
    publisher.entry |= entry
    with pytest.raises(CorpusError, match="could not be fetched"):
        prepare(url=f"{publisher.base}/list")
    assert downloads(tmp_path) == {}
    assert {path.name for path in tmp_path.iterdir()} == {"assets"}


def test_refused(prepare):
    with pytest.raises(CorpusError, match=r"127\.0\.0\.1:9/: ConnectionError.*refused"):
        prepare()


def test_unknown_host(prepare, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(CorpusError, match=r"publisher\.invalid/: .*Name or service not known"):
        prepare(url="http://publisher.invalid/")


def test_silent_host(prepare, monkeypatch):
    monkeypatch.setattr(maccrobat, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(CorpusError, match="timed out"):
            prepare(url=url)


def test_not_http(prepare):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk():
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"220 mail ready\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(CorpusError, match=r"BadStatusLine.*220 mail"):
            prepare(url=f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses(prepare, publisher, monkeypatch, scheme):
    monkeypatch.setenv(f"{scheme}_proxy", publisher.base)
    publisher.status = {"http://publisher.invalid/": 403}
    with pytest.raises(CorpusError, match=rf"{scheme}://publisher\.invalid/: .*403"):
        prepare(url=f"{scheme}://publisher.invalid/")
    assert publisher.seen


# -- the bundled sample ----------------------------------------------------------------------------

SAMPLE = {f"sample/{name}": content for name, content in PAIRS.items()}


def test_the_sample_says_loudly_what_it_is(tmp_path, prepare, capsys):
    write(tmp_path / "assets", SAMPLE)
    info = prepare(sample="allow")
    assert documents(tmp_path / "out") == PAIRS
    assert (info.source, info.bundled_sample, info.heading) == ("sample", True, SAMPLE_HEADING)
    assert (info.doi, info.license, info.citation) == ("", "MIT", "")
    assert info.title == "bundled sample of spacy-btl"
    assert SAMPLE_HEADING == "bundled sample: scores say nothing about MACCROBAT"
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert out == ""
    assert set(lines[0]) == set(lines[-1]) == {"#"}
    assert all(line.startswith("#") for line in lines)
    for text in (SAMPLE_HEADING, DEAD_URL, "refused", str(tmp_path / "assets" / "maccrobat")):
        assert text in err


def test_the_sample_gives_way_to_the_corpus(tmp_path, prepare, capsys):
    write(tmp_path / "assets", SAMPLE)
    prepare(sample="allow")
    write(tmp_path / "assets", {"MACCROBAT2020.zip": NEW})
    capsys.readouterr()
    info = prepare(sample="allow")
    assert (info.bundled_sample, info.heading, read_info(tmp_path / "out")) == (False, "", info)
    assert capsys.readouterr().err == ""


CHOICES = [
    # bundled  sample    the error offers the sample
    (True, "never", True),
    (False, "never", False),
    (False, "allow", False),
]


@pytest.mark.parametrize(("bundled", "sample", "offered"), CHOICES)
def test_without_a_sample_the_error_names_the_choices(
    tmp_path, prepare, capsys, bundled, sample, offered
):
    write(tmp_path / "assets", SAMPLE if bundled else {})
    with pytest.raises(CorpusError) as caught:
        prepare(sample=sample)
    text = str(caught.value)
    for part in ("refused", str(tmp_path / "assets" / "maccrobat"), "zip", "pass a folder"):
        assert part in text
    assert ("allow the bundled sample" in text) == offered
    assert capsys.readouterr().err == ""
    assert_nothing_left(tmp_path)


def test_an_unknown_choice_is_refused(prepare):
    with pytest.raises(ValueError, match="sample is 'maybe', but must be one of allow, never"):
        prepare(sample="maybe")
