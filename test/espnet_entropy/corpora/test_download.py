"""Downloads from a local server that cuts connections, changes files, and lies."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from miniatures import archive, librispeech, md5, mls

from espnet_entropy.bin import download_corpus, prepare_corpus
from espnet_entropy.corpora import sources
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.corpora.download import (
    Meter,
    Patience,
    download,
    fetch_text,
    parse_md5sums,
)

QUICK = Patience(tries=3, timeout=5.0, pause=0.0)
CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Files by path, and how to misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []  # path, Range
        self.cuts: list[int] = []  # bytes after which the next connections end
        self.errors: list[int] = []  # status of the next answers
        self.ranges = True  # whether Range is understood
        self.tag: str | None = '"one"'
        self.slow = 0.0  # seconds before every 100 kB

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""

    def url(self, name: str = "") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.requests.append((self.path, asked))
        content = server.files.get(self.path.lstrip("/"))
        if server.errors or content is None:
            self.send_error(server.errors.pop(0) if server.errors else 404)
            return
        first = int(asked[6:-1]) if asked and server.ranges else 0
        if self.headers.get("If-Range") not in (None, server.tag):
            first = 0
        if first >= len(content) > 0 and first:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if first else 200)
        if first:
            whole = len(content)
            self.send_header("Content-Range", f"bytes {first}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(len(content) - first))
        if server.tag:
            self.send_header("ETag", server.tag)
        else:
            self.send_header("Date", formatdate())
        self.end_headers()
        body = content[first:]
        body = body[: server.cuts.pop(0)] if server.cuts else body
        for at in range(0, len(body), 100_000):
            time.sleep(server.slow)
            self.wfile.write(body[at : at + 100_000])
        self.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        made.files["a.bin"] = CONTENT
        yield made
        made.shutdown()


def left(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def test_a_whole_file(server: Server, tmp_path: Path) -> None:
    path = download(server.url("a.bin"), tmp_path / "deep" / "a.bin", md5(CONTENT), QUICK)
    assert path.read_bytes() == CONTENT
    assert left(path.parent) == ["a.bin"]
    download(server.url("a.bin"), path, md5(CONTENT), QUICK)  # is there: not asked again
    assert len(server.requests) == 1


def test_cut_connections_are_taken_up_where_they_ended(server: Server, tmp_path: Path) -> None:
    server.cuts = [1_200_000, 700_000, 0, 0, 600_000]
    path = download(server.url("a.bin"), tmp_path / "a.bin", md5(CONTENT), QUICK)
    assert path.read_bytes() == CONTENT
    asked = [value for _, value in server.requests]
    assert asked == [
        None,
        "bytes=1200000-",
        "bytes=1900000-",  # twice nothing came
        "bytes=1900000-",
        "bytes=1900000-",
        "bytes=2500000-",
    ]


def test_it_gives_up_when_nothing_comes_any_more(server: Server, tmp_path: Path) -> None:
    server.cuts = [1_000_000, *[0] * 20]
    with pytest.raises(ValueError, match=r"a\.bin: the connection ended early; check address"):
        download(server.url("a.bin"), tmp_path / "a.bin", patience=QUICK)
    assert len(server.requests) == 1 + QUICK.tries
    assert left(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    server.cuts = []  # later, another process
    download(server.url("a.bin"), tmp_path / "a.bin", md5(CONTENT), QUICK)
    assert server.requests[-1] == ("/a.bin", "bytes=1000000-")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["tag", "ranges", "no tag"])
def test_what_cannot_be_joined_is_fetched_anew(server: Server, tmp_path: Path, change: str) -> None:
    if change == "no tag":
        server.tag = None
    server.cuts = [1_000_000, *[0] * 20]
    with pytest.raises(ValueError, match="ended early"):
        download(server.url("a.bin"), tmp_path / "a.bin", patience=QUICK)
    server.cuts = []
    if change == "tag":  # the file is another one now
        server.tag, server.files["a.bin"] = '"two"', CONTENT[::-1]
    elif change == "ranges":
        server.ranges = False
    path = download(server.url("a.bin"), tmp_path / "a.bin", patience=QUICK)
    assert path.read_bytes() == server.files["a.bin"]


def test_a_part_that_is_the_whole_already(server: Server, tmp_path: Path) -> None:
    """Killed between the last byte and the rename."""
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    note = f'{{"url": "{server.url("a.bin")}", "version": "\\"one\\""}}'
    (tmp_path / "a.bin.part.json").write_text(note)
    download(server.url("a.bin"), tmp_path / "a.bin", md5(CONTENT), QUICK)
    assert server.requests == [("/a.bin", "bytes=3000000-")]
    assert left(tmp_path) == ["a.bin"]


def test_a_part_that_is_too_long(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    note = f'{{"url": "{server.url("a.bin")}", "version": "\\"one\\""}}'
    (tmp_path / "a.bin.part.json").write_text(note)
    download(server.url("a.bin"), tmp_path / "a.bin", md5(CONTENT), QUICK)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_killed_at_any_time(server: Server, tmp_path: Path) -> None:
    server.slow = 0.02  # 0.6 s in all
    context = multiprocessing.get_context("spawn")
    for seconds in (0.9, 1.0, 1.1):  # about 0.7 s to start
        arguments = (server.url("a.bin"), tmp_path / "a.bin", md5(CONTENT))
        process = context.Process(target=download, args=arguments)
        process.start()
        process.join(seconds)
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
    server.slow = 0.0
    path = download(server.url("a.bin"), tmp_path / "a.bin", md5(CONTENT), QUICK)
    assert path.read_bytes() == CONTENT
    assert left(tmp_path) == ["a.bin"] or left(tmp_path) == ["a.bin", "a.bin.lock"]


def test_wrong_checksum(server: Server, tmp_path: Path) -> None:
    message = rf"MD5 {md5(CONTENT)}, but the publisher says {'0' * 32}; what came is kept"
    with pytest.raises(ValueError, match=message):
        download(server.url("a.bin"), tmp_path / "a.bin", "0" * 32, QUICK)
    assert left(tmp_path) == ["a.bin.wrong"]
    download(server.url("a.bin"), tmp_path / "a.bin", md5(CONTENT).upper(), QUICK)
    with pytest.raises(ValueError, match="publisher says"):  # also of a file that is there
        download(server.url("a.bin"), tmp_path / "a.bin", "0" * 32, QUICK)


def test_refusals(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"answers 404 \(Not Found\); check the address"):
        download(server.url("b.bin"), tmp_path / "b.bin", patience=QUICK)
    assert len(server.requests) == 1  # not asked again and again
    server.errors = [503, 429]  # passing
    download(server.url("a.bin"), tmp_path / "a.bin", md5(CONTENT), QUICK)
    with pytest.raises(ValueError, match="begins with http"):
        download("file:///etc/passwd", tmp_path / "c", patience=QUICK)
    with pytest.raises(ValueError, match=r"refused; check address and connection"):
        download("http://127.0.0.1:9/x", tmp_path / "d", patience=QUICK)


def test_no_room(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 65 << 20})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(ValueError, match=r"3\.0 MB are missing, and .* has 68\.2 MB free"):
        download(server.url("a.bin"), tmp_path / "a.bin", patience=QUICK)


def test_two_at_once(server: Server, tmp_path: Path) -> None:
    server.slow = 0.05
    first = threading.Thread(
        target=download, args=(server.url("a.bin"), tmp_path / "a.bin", md5(CONTENT), QUICK)
    )
    first.start()
    while not (tmp_path / "a.bin.part").exists():
        time.sleep(0.01)
    with pytest.raises(ValueError, match=r"another process is fetching it"):
        download(server.url("a.bin"), tmp_path / "a.bin", patience=QUICK)
    first.join()
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_progress_says_how_long_it_takes() -> None:
    now = [0.0]
    meter = Meter("a.tar.gz", 100_000_000, done=10_000_000, clock=lambda: now[0])
    now[0] = 5.0
    meter.add(10_000_000)
    assert meter.line() == "a.tar.gz: 20.0 MB of 100 MB (20 %), 2.0 MB/s, 0:00:40 left"
    assert Meter("b", None, clock=lambda: now[0]).line() == "b: 0 B, 0.0 MB/s"


def test_lists_of_checksums(server: Server) -> None:
    text = f"# comment\n{'a' * 32}  dev-clean.tar.gz\n{'B' * 32} *./x/test.tar.gz\r\nnonsense\n"
    server.files["md5sum.txt"] = text.encode()
    server.errors = [500]
    found = parse_md5sums(fetch_text(server.url("md5sum.txt"), QUICK))
    assert found == {"dev-clean.tar.gz": "a" * 32, "test.tar.gz": "b" * 32}


# --- whole corpora


@pytest.fixture
def openslr(server: Server, tmp_path: Path) -> Server:
    """dev-clean and test-clean as OpenSLR has them."""
    made = librispeech(tmp_path / "made")
    lines = []
    for part in ("dev-clean", "test-clean"):
        content = archive(made, "LibriSpeech", part)
        server.files[f"12/{part}.tar.gz"] = content
        lines.append(f"{md5(content)}  {part}.tar.gz\n")
    server.files["12/md5sum.txt"] = "".join(lines).encode()
    return server


def test_librispeech_from_nothing(openslr: Server, tmp_path: Path) -> None:
    words = ["--corpus", "librispeech", "--source", str(tmp_path / "corpus"), "--out"]
    words += [str(tmp_path / "data"), "--option", "parts=dev-clean,test-clean"]
    with pytest.raises(ValueError, match=r"corpus: no such folder.*--download true"):
        prepare_corpus.main(words)
    fetch = [*words, "--download", "true", "--url", openslr.url("12/")]
    prepare_corpus.main(fetch)
    for name in ("dev_clean", "test_clean"):
        assert len(DataDir.read(tmp_path / "data" / name).wavs) == 6
    count = len(openslr.requests)
    prepare_corpus.main(fetch)  # nothing more is asked for
    prepare_corpus.main(words)
    assert len(openslr.requests) == count == 3
    with pytest.raises(ValueError, match=r"lacks dev-other of LibriSpeech.*--download true"):
        prepare_corpus.main([*words[:-1], "parts=dev-clean,dev-other"])
    with pytest.raises(ValueError, match="mboshi_french: cannot be downloaded here"):
        prepare_corpus.main(["--corpus", "mboshi_french", "--source", "x", "--download", "true"])


def test_half_a_part_is_no_part(openslr: Server, tmp_path: Path) -> None:
    """Killed while unpacking: the folder is there, and not all that belongs in it."""
    corpus = tmp_path / "corpus"
    (corpus / "LibriSpeech/dev-clean/84").mkdir(parents=True)
    download(openslr.url("12/dev-clean.tar.gz"), corpus / "downloads/dev-clean.tar.gz")
    words = ["--corpus", "librispeech", "--source", str(corpus), "--out", str(tmp_path / "data")]
    words += ["--option", "parts=dev-clean"]
    with pytest.raises(ValueError, match=r"lacks dev-clean .*half of it was unpacked"):
        prepare_corpus.main(words)
    prepare_corpus.main([*words, "--download", "true", "--url", openslr.url("12")])
    assert len(DataDir.read(tmp_path / "data/dev_clean").wavs) == 6


def test_the_command(openslr: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ["--corpus", "librispeech", "--out", str(tmp_path / "c"), "--parts", "dev-clean"]
    openslr.files["12/md5sum.txt"] = b"nothing of use\n"
    download_corpus.main([*words, "--url", openslr.url("12"), "--remove_archives"])
    assert "gives no MD5 for it: fetched unchecked" in caplog.text
    assert (tmp_path / "c/LibriSpeech/dev-clean/84").is_dir()
    assert left(tmp_path / "c/downloads") == []
    download_corpus.main([*words, "--url", "http://127.0.0.1:9"])  # all there: nobody is asked
    with pytest.raises(ValueError, match=r"unknown part 'dev-cleen'.*Did you mean 'dev-clean'"):
        download_corpus.main([*words[:-1], "dev-cleen"])
    with pytest.raises(ValueError, match=r"unknown corpus to download 'libri'"):
        download_corpus.main(["--corpus", "libri", "--out", "x"])


def test_mls_from_nothing(server: Server, tmp_path: Path) -> None:
    content = archive(mls(tmp_path / "made", "opus"), "mls_english_opus")
    server.files["mls_english_opus.tar.gz"] = content
    server.files["md5sum.txt"] = f"{md5(content)}  mls_english_opus.tar.gz\n".encode()
    words = ["--corpus", "mls_en", "--source", str(tmp_path / "mls"), "--out", str(tmp_path / "d")]
    words += ["--option", "hours=null", "--download", "true", "--url", server.url()]
    prepare_corpus.main(words)
    assert len(DataDir.read(tmp_path / "d/train").wavs) == 12


def test_the_offers_are_consistent() -> None:
    for offer in sources.OFFERS.values():
        assert re.match("https://", offer.url)
        assert set(offer.archives) == set(offer.tops) >= set(offer.default)
