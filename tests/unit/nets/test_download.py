"""One file from the web: whole, checked, resumed where that is possible, and never half there."""

from __future__ import annotations

import errno
import hashlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from segstudio.core.errors import Cancelled, ModelError
from segstudio.nets import download as module
from segstudio.nets.download import download

CONTENT = bytes(range(256)) * 4000  # 1 MB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """A web server on this computer.

    Attributes:
        drops: For each request to come, after how many bytes the connection breaks.
        ranges: Whether it can begin in the middle.
        tag: The ETag it gives, "" for none.
        wrong_range: Answers a range with another one.
        redirect: Where every request is sent.
        asked: The Range header of each request, "" where there was none.
    """

    address: str = ""
    content: bytes = CONTENT
    drops: list[int] = field(default_factory=list)
    ranges: bool = True
    tag: str = '"v1"'
    wrong_range: bool = False
    redirect: str = ""
    asked: list[str] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.headers.get("Range", ""))
        if self.redirect:
            handler.send_response(302)
            handler.send_header("Location", self.redirect)
            handler.end_headers()
            return
        begin, wanted = 0, handler.headers.get("Range", "")
        if self.ranges and wanted and handler.headers.get("If-Range") == self.tag:
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            handler.send_response(206)
            shown = 0 if self.wrong_range else begin
            handler.send_header("Content-Range", f"bytes {shown}-{len(self.content) - 1}/{len(self.content)}")
        else:
            handler.send_response(200)
        if self.ranges:
            handler.send_header("Accept-Ranges", "bytes")
        if self.tag:
            handler.send_header("ETag", self.tag)
        handler.send_header("Content-Length", str(len(self.content) - begin))
        handler.end_headers()
        end = begin + self.drops.pop(0) if self.drops else None
        handler.wfile.write(self.content[begin:end])


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_args: object) -> None:
        """Nothing: that the other side hangs up is part of the tests."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    here = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.answer(self)

        def log_message(self, *_args: object) -> None:
            return

    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        here.address = f"http://127.0.0.1:{server.server_address[1]}/net.pth"
        yield here
        server.shutdown()
        thread.join()


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_dropped_connection_goes_on_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.drops = [300_000, 300_000]
    seen: list[float] = []
    download(site.address, tmp_path / "net.pth", sha256=DIGEST, progress=seen.append)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert site.asked == ["", "bytes=300000-", "bytes=600000-"]
    assert (seen, seen[-1]) == (sorted(seen), 1.0)
    assert _left(tmp_path) == ["net.pth"]


def test_without_ranges_it_begins_anew(site: Site, tmp_path: Path) -> None:
    site.ranges, site.drops = False, [300_000]
    download(site.address, tmp_path / "net.pth", sha256=DIGEST)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert site.asked == ["", ""]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_third_drop_gives_up_and_keeps_what_can_be_used(site: Site, tmp_path: Path, ranges: bool) -> None:
    site.ranges, site.drops = ranges, [100_000, 100_000, 100_000]
    with pytest.raises(ModelError, match="could not be downloaded") as caught:
        download(site.address, tmp_path / "net.pth", sha256=DIGEST)
    assert str(tmp_path / "net.pth") in caught.value.hint
    assert len(site.asked) == 3
    assert _left(tmp_path) == (["net.pth.part", "net.pth.part.json"] if ranges else [])
    download(site.address, tmp_path / "net.pth", sha256=DIGEST)
    assert site.asked[-1] == ("bytes=300000-" if ranges else "")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert _left(tmp_path) == ["net.pth"]


def test_a_file_that_changed_meanwhile_begins_anew(site: Site, tmp_path: Path) -> None:
    site.drops = [100_000] * 3
    with pytest.raises(ModelError):
        download(site.address, tmp_path / "net.pth")
    site.tag, site.content = '"v2"', CONTENT[::-1]
    download(site.address, tmp_path / "net.pth", sha256=hashlib.sha256(CONTENT[::-1]).hexdigest())
    assert (tmp_path / "net.pth").read_bytes() == CONTENT[::-1]


def test_a_server_that_answers_with_another_range_begins_anew(site: Site, tmp_path: Path) -> None:
    site.drops, site.wrong_range = [100_000], True
    download(site.address, tmp_path / "net.pth", sha256=DIGEST)
    assert site.asked == ["", "bytes=100000-", ""]
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_a_damaged_beginning_is_fetched_again_once(site: Site, tmp_path: Path) -> None:
    site.drops = [100_000] * 3
    with pytest.raises(ModelError):
        download(site.address, tmp_path / "net.pth", sha256=DIGEST)
    part = tmp_path / "net.pth.part"
    part.write_bytes(bytes(part.stat().st_size))
    download(site.address, tmp_path / "net.pth", sha256=DIGEST)
    assert site.asked[-2:] == ["bytes=300000-", ""]
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_a_wrong_hash_is_one_sentence_and_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="came out damaged") as caught:
        download(site.address, tmp_path / "net.pth", sha256="0" * 64)
    assert "net.pth" in caught.value.message
    assert _left(tmp_path) == []
    assert len(site.asked) == 1


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_without_a_mark_to_tell_versions_nothing_is_kept(site: Site, tmp_path: Path, tag: str) -> None:
    site.tag, site.drops = tag, [100_000] * 3
    with pytest.raises(ModelError):
        download(site.address, tmp_path / "net.pth")
    assert site.asked == ["", "", ""]
    assert _left(tmp_path) == []


def test_a_note_that_does_not_read_begins_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(b"something else")
    for note in ("", "[]", '{"url": 1}', '{"url": "x", "mark": "y", "total": "z"}'):
        (tmp_path / "net.pth.part.json").write_text(note)
        (tmp_path / "net.pth").unlink(missing_ok=True)
        download(site.address, tmp_path / "net.pth", sha256=DIGEST)
        assert site.asked[-1] == ""


def test_cancelling_stops_at_once_and_can_be_taken_up_again(site: Site, tmp_path: Path) -> None:
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        download(site.address, tmp_path / "net.pth", cancelled=lambda: next(asked))
    assert not (tmp_path / "net.pth").exists()
    assert len(site.asked) == 1
    download(site.address, tmp_path / "net.pth", sha256=DIGEST)
    assert site.asked[-1].startswith("bytes=")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_too_little_space_is_known_before_the_first_byte(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(ModelError, match="not enough free space to download") as caught:
        download(site.address, tmp_path / "net.pth")
    assert "Make room" in caught.value.hint
    assert _left(tmp_path) == []


def test_a_disk_that_fills_up_is_one_sentence(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_copy", full)
    with pytest.raises(ModelError, match=r"not enough free space.*No space left on device"):
        download(site.address, tmp_path / "net.pth")


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_redirects_lead_to_web_addresses_only(site: Site, tmp_path: Path, place: str) -> None:
    site.redirect = place
    with pytest.raises(ModelError):
        download(site.address, tmp_path / "net.pth")
    assert _left(tmp_path) == []


def test_a_web_redirect_is_followed(site: Site, tmp_path: Path) -> None:
    original, calls = site.answer, []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        calls.append(handler.path)
        site.redirect = site.address.replace("net.pth", "there") if handler.path == "/net.pth" else ""
        original(handler)

    site.answer = answer  # type: ignore[method-assign]
    download(site.address, tmp_path / "net.pth", sha256=DIGEST)
    assert calls == ["/net.pth", "/there"]


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://x/net.pth", "/etc/hostname", "data:,abc"])
def test_other_addresses_are_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ModelError, match="not a web address"):
        download(address, tmp_path / "net.pth")


def test_an_address_that_is_gone_names_the_file_and_its_place(site: Site, tmp_path: Path) -> None:
    site.answer = lambda handler: handler.send_error(404)  # type: ignore[method-assign]
    with pytest.raises(ModelError, match=r"net\.pth could not be downloaded \(Not Found\)"):
        download(site.address, tmp_path / "net.pth")
    assert _left(tmp_path) == []
