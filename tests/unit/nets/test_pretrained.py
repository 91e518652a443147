from __future__ import annotations

import hashlib
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
import torchvision

from segstudio.core.errors import Cancelled, ModelError
from segstudio.nets import pretrained
from segstudio.nets.checkpoint import load_model
from segstudio.nets.registry import build, create_model

CONTENT = b"weights " * 100_000


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise urllib.error.URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


class _Server(HTTPServer):
    def handle_error(self, *_args: object) -> None:
        """Nothing: that the other side hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        body = CONTENT[:1000] if "short" in self.path else CONTENT
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("segstudio.nets.download._PAUSE_S", 0.0)
    with _Server(("127.0.0.1", 0), _Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.mark.usefixtures("offline")
def test_offline_message_names_the_file_and_its_place(hub: Path) -> None:
    with pytest.raises(ModelError) as caught:
        pretrained.imagenet_state("ResNet101_Weights.IMAGENET1K_V1")
    assert "resnet101-63fe2227.pth could not be downloaded" in caught.value.message
    assert str(hub / "resnet101-63fe2227.pth") in caught.value.hint
    assert list(hub.iterdir()) == []


@pytest.mark.usefixtures("offline", "hub")
def test_offline_network_starts_random_and_says_so() -> None:
    net = create_model("deeplabv2-resnet101", classes=2, weights="imagenet", on_offline="random")
    assert (net.loaded.trunk, net.loaded.head) == ("random", "random")
    assert "random numbers" in net.loaded.note
    with pytest.raises(ModelError, match="could not be downloaded"):
        create_model("deeplabv2-resnet101", classes=2, weights="imagenet", on_offline="raise")


def test_imagenet_file_in_the_cache_fills_the_trunk(hub: Path) -> None:
    torch.manual_seed(0)
    source = torchvision.models.resnet101(weights=None)
    hub.mkdir(parents=True)
    torch.save(source.state_dict(), hub / "resnet101-63fe2227.pth")
    net = create_model("deeplabv2-resnet101", classes=2, weights="imagenet")
    assert net.loaded.trunk == "imagenet"
    assert torch.equal(net.state_dict()["trunk.layer3.5.conv2.weight"], source.layer3[5].conv2.weight)
    assert torch.equal(net.state_dict()["trunk.layer1.0.bn3.weight"], source.layer1[0].bn3.weight)


def test_damaged_file_in_the_cache_is_named(hub: Path) -> None:
    hub.mkdir(parents=True)
    (hub / "vgg16-397923af.pth").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ModelError, match=r"vgg16-397923af\.pth is damaged"):
        pretrained.imagenet_state("VGG16_Weights.IMAGENET1K_V1")


def test_code_in_the_cached_file_is_refused_with_the_place_to_clear(hub: Path) -> None:
    hub.mkdir(parents=True)
    torch.save({"a": torch.nn.Linear(1, 1)}, hub / "vgg16-397923af.pth")
    with pytest.raises(ModelError, match="program code") as caught:
        pretrained.imagenet_state("VGG16_Weights.IMAGENET1K_V1")
    assert f"Delete {hub / 'vgg16-397923af.pth'}" in caught.value.hint


@pytest.mark.parametrize("ending", ["", "/", "/..", "/%2e%2e", "/a%2Fb.pth", "/a%5Cb.pth", "/.hidden", "/x%00.pth"])
def test_an_address_cannot_lead_out_of_the_cache_folder(ending: str) -> None:
    with pytest.raises(ModelError, match="names no file"):
        pretrained.cache_path(f"https://example.org{ending}")


def test_a_files_place_is_its_last_name_in_the_cache_folder(hub: Path) -> None:
    assert pretrained.cache_path("https://example.org/a/b/net-v1.0.pth?x=/y") == hub / "net-v1.0.pth"


def test_two_files_of_one_name_are_kept_apart_by_their_hash(server: str, hub: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    hub.mkdir(parents=True)
    (hub / "net.pth").write_bytes(b"another project's")
    path = pretrained.cached_file(f"{server}/net.pth", sha256=digest)
    assert path == hub / f"net-{digest[:8]}.pth"
    assert path.read_bytes() == CONTENT
    assert pretrained.cached_file(f"{server}/net.pth", sha256=digest) == path
    path.write_bytes(b"changed")
    with pytest.raises(ModelError, match="not the file its card was written for"):
        pretrained.cached_file(f"{server}/net.pth", sha256=digest)


# -- cards whose trained weights are torchvision's ---------------------------------------------------------------------

TRAINED = "tv-deeplabv3-resnet50"
TRAINED_FILE = "deeplabv3_resnet50_coco-cd0a2569.pth"


def test_a_trained_card_takes_its_head_from_the_cached_file(hub: Path) -> None:
    torch.manual_seed(0)
    source = build("torchvision", classes=21, options={"model": "deeplabv3_resnet50", "aux": True, "thin": 16})
    hub.mkdir(parents=True)
    torch.save(source.state_dict(), hub / TRAINED_FILE)
    net = load_model(TRAINED)
    assert (net.loaded.trunk, net.loaded.head) == ("checkpoint", "checkpoint")
    assert (net.card.id, net.classes, net.class_names[15]) == (TRAINED, 21, "person")
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in source.state_dict().items())
    other = load_model(TRAINED, classes=4)
    assert (other.classes, other.loaded.trunk, other.loaded.head) == (4, "checkpoint", "random")


def test_a_damaged_trained_file_in_the_cache_is_named_with_its_place(hub: Path) -> None:
    hub.mkdir(parents=True)
    (hub / TRAINED_FILE).write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ModelError, match="damaged") as caught:
        load_model(TRAINED)
    assert f"Delete {hub / TRAINED_FILE}" in caught.value.hint


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("classes", [None, 21])
def test_offline_a_trained_card_says_what_to_fetch_and_where_to_put_it(hub: Path, classes: int | None) -> None:
    with pytest.raises(ModelError, match=f"{TRAINED_FILE} could not be downloaded") as caught:
        load_model(TRAINED, classes=classes)
    assert f"https://download.pytorch.org/models/{TRAINED_FILE}" in caught.value.hint
    assert str(hub / TRAINED_FILE) in caught.value.hint


@pytest.mark.usefixtures("offline", "hub")
def test_offline_a_trained_card_with_a_new_head_starts_random_and_says_so() -> None:
    net = load_model("tv-lraspp-mobilenet", classes=3)
    assert (net.classes, net.loaded.trunk, net.loaded.head) == (3, "random", "random")
    assert "could not be downloaded" in net.loaded.note
    assert "random numbers" in net.loaded.note
    with pytest.raises(ModelError):
        load_model("tv-lraspp-mobilenet", classes=3, on_offline="raise")


def test_network_without_a_trunk_refuses_imagenet() -> None:
    with pytest.raises(ModelError, match="cannot take"):
        create_model("unet-small", weights="imagenet")


def test_download_reports_progress_and_checks_the_hash(server: str, tmp_path: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    target = tmp_path / f"net-{digest[:8]}.pth"
    seen: list[float] = []
    pretrained.download(f"{server}/net.pth", target, progress=seen.append)
    assert target.read_bytes() == CONTENT
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    wrong = tmp_path / "net-00000000.pth"
    with pytest.raises(ModelError, match="hash differs"):
        pretrained.download(f"{server}/net.pth", wrong)
    with pytest.raises(ModelError, match="hash differs"):
        pretrained.download(f"{server}/net.pth", tmp_path / "plain.pth", sha256="0" * 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name]


def test_broken_or_cancelled_download_leaves_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="could not be downloaded"):
        pretrained.download(f"{server}/short.pth", tmp_path / "short.pth")
    with pytest.raises(Cancelled):
        pretrained.download(f"{server}/net.pth", tmp_path / "net.pth", cancelled=lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_only_web_addresses_are_fetched(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a web address"):
        pretrained.download("file:///etc/hostname", tmp_path / "x")
