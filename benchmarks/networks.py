"""Speed and memory of the networks, against the plain float32 forward pass of the same network in the same run.

    uv run python benchmarks/networks.py speed [CARD ...] [--device D] [--rounds N]
    uv run python benchmarks/networks.py torchvision [CARD ...] [--device D] [--rounds N]
    uv run python benchmarks/networks.py memory [CARD ...] [--side PX]
    uv run python benchmarks/networks.py needs [CARD ...] [--write]
    uv run python benchmarks/networks.py agreement MODEL FOLDER [--rounds N]
    uv run python benchmarks/networks.py gpu [CARD ...]

"Plain" is what the published implementations run: float32, eager, channels first, one image at a time, and for FCN all
of its border of 100 zeros. Both sides take turns, and the best time of each counts. Weights are random but for
`agreement`, which counts the pixels of real images whose class is the same in the chosen arithmetic and in plain.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from segstudio.engine.process import CHILD_ENVIRONMENT

if not CHILD_ENVIRONMENT.items() <= os.environ.items():
    # As the program's own workers run: this is read when a process starts.
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **CHILD_ENVIRONMENT})

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

from segstudio.imaging.decode import find_images, read_image
from segstudio.nets.base import SegmentationNet
from segstudio.nets.card import find_card, list_cards, save_card, shipped_cards
from segstudio.nets.checkpoint import load_model
from segstudio.nets.devices import resolve_device
from segstudio.nets.families import fcn
from segstudio.nets.fast.arithmetic import Arithmetic, arithmetic_for, candidates
from segstudio.nets.predictor import Predictor
from segstudio.nets.registry import create_model
from segstudio.training.recipes import for_card

SIZE = (375, 500)
LARGE = (1024, 2048)
HEADLINE = ("fcn8s", "deeplabv2-resnet101", "unet")
# One of each family, the most demanding one.
FAMILIES = (
    "fcn8s",
    "unet",
    "unet-original",
    "deeplabv1-msc",
    "deeplabv2-resnet101",
    "deeplabv3-resnet101-os8",
    "deeplabv3plus-xception65-os8",
    "parsenet",
    "deconvnet",
    "edeconvnet",
    "hypercolumn",
    "tv-deeplabv3-resnet101",
    "tv-lraspp-mobilenet",
    "smp-unet-resnet34",
)
TORCHVISION = {
    "tv-fcn-resnet50": "fcn_resnet50",
    "tv-fcn-resnet101": "fcn_resnet101",
    "tv-deeplabv3-resnet50": "deeplabv3_resnet50",
    "tv-deeplabv3-resnet101": "deeplabv3_resnet101",
    "tv-deeplabv3-mobilenet": "deeplabv3_mobilenet_v3_large",
    "tv-lraspp-mobilenet": "lraspp_mobilenet_v3_large",
}
Run = Callable[[], torch.Tensor]


def photograph(height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: smooth colours and some noise, the same every time."""
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.random((1, 3, 12, 16), np.float32))
    large = F.interpolate(small, size=(height, width), mode="bicubic", align_corners=False)[0].permute(1, 2, 0)
    noise = rng.standard_normal((height, width, 3), np.float32) * np.float32(0.03)
    return ((large.numpy() + noise).clip(0, 1) * 255).astype(np.uint8)


def network(name: str) -> SegmentationNet:
    """The untrained network of a card, its head not zero, so that its argmax means something."""
    torch.manual_seed(0)
    net = create_model(name)
    for key, parameter in net.named_parameters():
        if key.startswith(net.head_prefixes) and parameter.ndim == 4 and parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.02)
    return net.eval()


@contextmanager
def published_border() -> Iterator[None]:
    """FCN computes all of its border inside, as the published implementations do."""

    def all_of_it(net: fcn.FCN, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = F.pad(x, (99, 99, 99, 99))
        for number in range(1, 4):
            y = net.pool(net.block(y, number))
        return y, net.pool(net.block(y, 4))

    ours, fcn.padded_pools = fcn.padded_pools, all_of_it
    try:
        yield
    finally:
        fcn.padded_pools = ours


def plain(net: SegmentationNet, x: torch.Tensor) -> Run:
    """Logits as the published code computes them."""

    def run() -> torch.Tensor:
        with torch.inference_mode(), published_border():
            return net(x)

    return run


def ours(predictor: Predictor, x: torch.Tensor) -> Run:
    """Logits as the program computes them."""

    def run() -> torch.Tensor:
        with predictor._computing():
            return predictor.net(x.contiguous(memory_format=torch.channels_last))

    return run


def taking_turns(runs: Sequence[Run], rounds: int, device: torch.device) -> list[float]:
    """The best seconds of each run after a warm-up, the runs taking turns."""
    best = [float("inf")] * len(runs)
    for number in range(rounds + 1):
        for index, run in enumerate(runs):
            begin = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:
                best[index] = min(best[index], time.perf_counter() - begin)
    return best


def words(way: Arithmetic) -> str:
    """An arithmetic in a column's head."""
    return way.dtype + (" packed" if way.packed else "") + (" Winograd" if way.winograd else "")


def speed(names: Sequence[str], device: torch.device, rounds: int) -> None:
    """Seconds for 500 x 375 in every way this device knows, and the ratio to plain of the way it chose."""
    ways = candidates(device)
    chosen = ways.index(arithmetic_for(device))
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}; chosen: {words(ways[chosen])}")
    print("| card | plain | " + " | ".join(words(way) for way in ways) + " | ratio of the chosen | same argmax |")
    print("|---|" + "---:|" * (len(ways) + 3))
    for name in names:
        net = network(name).to(device)
        x = net.preprocess(photograph(*SIZE)).to(device)
        predictors = [Predictor(net, device=device, arithmetic=way) for way in ways]
        runs = [plain(net, x), *(ours(predictor, x) for predictor in predictors)]
        seconds = taking_turns(runs, rounds, device)
        same = (runs[0]().argmax(1) == runs[1 + chosen]().argmax(1)).float().mean()
        times = " | ".join(f"{taken * 1e3:.0f} ms" for taken in seconds)
        print(f"| {name} | {times} | {seconds[0] / seconds[1 + chosen]:.2f} | {float(same):.2%} |", flush=True)


def against_torchvision(names: Sequence[str], device: torch.device, rounds: int) -> None:
    """The ratio to torchvision's own implementation of the same network."""
    print("| card | torchvision | ours | ratio |\n|---|---:|---:|---:|")
    for name in names:
        net = network(name).to(device)
        theirs = torchvision.models.get_model(TORCHVISION[name], weights=None, weights_backbone=None, num_classes=21)
        theirs = theirs.to(device).eval()
        x = net.preprocess(photograph(*SIZE)).to(device)

        def run(theirs: torch.nn.Module = theirs, x: torch.Tensor = x) -> torch.Tensor:
            with torch.inference_mode():
                return theirs(x)["out"]

        seconds = taking_turns([run, ours(Predictor(net, device=device), x)], rounds, device)
        print(f"| {name} | {seconds[0] * 1e3:.0f} ms | {seconds[1] * 1e3:.0f} ms | {seconds[0] / seconds[1]:.2f} |")


def on_gpu(names: Sequence[str]) -> None:
    """Images per second of each card on CUDA at both sizes, beside plain float32."""
    device = resolve_device("cuda")
    print(f"{torch.cuda.get_device_name(device)}; chosen: {words(arithmetic_for(device))}")
    print("| card | 500 x 375 plain | ours | 2048 x 1024 plain | ours |\n|---|---:|---:|---:|---:|")
    for name in names:
        net = network(name).to(device)
        predictor, figures = Predictor(net, device=device), []
        for size in (SIZE, LARGE):
            x = net.preprocess(photograph(*size)).to(device)
            figures += taking_turns([plain(net, x), ours(predictor, x)], 5, device)
        print(f"| {name} | " + " | ".join(f"{1 / taken:.1f}" for taken in figures) + " |", flush=True)


def agreement(model: str, folder: Path, rounds: int) -> None:
    """Pixels of real images whose class is the same in the chosen arithmetic as in plain float32."""
    net = load_model(model)
    ready = Predictor(net, device="cpu")
    halved = Predictor(net, device="cpu", arithmetic=Arithmetic(dtype="bfloat16", packed=True))
    same = halves = pixels = 0
    for path in find_images(folder).paths[:rounds]:
        image = read_image(path).rgb
        want = plain(net, net.preprocess(image))()[0].argmax(0).numpy()
        same += int((ready.predict(image).labels == want).sum())
        halves += int((halved.predict(image).labels == want).sum())
        pixels += want.size
    print(f"{model}: {words(ready.arithmetic)} {same / pixels:.4%}, bfloat16 {halves / pixels:.4%} of {pixels} pixels")


def peak_mib() -> int:
    """The most main memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def in_its_own_process(*words: str) -> str:
    """What a job prints last in a fresh process, so that its peak of memory is its own."""
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def memory(names: Sequence[str], side: int) -> None:
    """Peak memory of one prediction of a square image with 21 classes, all of the process included."""
    print("| card | peak MiB | seconds |\n|---|---:|---:|")
    for name in names:
        begin = time.perf_counter()
        peak = in_its_own_process("_huge", name, "--side", str(side))
        print(f"| {name} | {peak} | {time.perf_counter() - begin:.0f} |", flush=True)


def huge(name: str, side: int) -> None:
    """One prediction of a large image in this process."""
    predictor = Predictor(create_model(name), device="cpu", consume=True)
    # Made of copies: drawing it in one piece would take more memory than predicting it.
    part = photograph(min(side, 1024), min(side, 1024))
    copies = -(-side // len(part))
    predictor.predict(np.tile(part, (copies, copies, 1))[:side, :side])
    print(peak_mib())


def needs(names: Sequence[str], *, write: bool) -> None:
    """Memory to predict 500 x 375 and to train by the recipe for few images, beyond an idle process; into the cards."""
    print("| card | MiB to predict | MiB to train |\n|---|---:|---:|")
    for name in names:
        figures = [int(in_its_own_process(job, name)) for job in ("_predict", "_train")]
        print(f"| {name} | {figures[0]} | {figures[1]} |", flush=True)
        if write:
            card = find_card(name)
            assert card.path is not None
            save_card(dataclasses.replace(card, predict_mib=figures[0], train_mib=figures[1]), card.path)


def predict_once(name: str) -> None:
    """What one prediction takes."""
    arithmetic_for(torch.device("cpu"))
    before = peak_mib()
    Predictor(create_model(name), device="cpu", consume=True).predict(photograph(*SIZE))
    print(peak_mib() - before)


def train_once(name: str) -> None:
    """What two training steps take: weights, gradients, the optimiser's state, averaged weights, activations."""
    card, before = find_card(name), peak_mib()
    config = for_card(card.family, card.options, "cpu")
    net = create_model(name).train()
    average = [parameter.detach().clone() for parameter in net.parameters()]
    groups = net.parameter_groups(1e-6, 0.0)
    optimizer = torch.optim.AdamW(groups) if config.optimizer == "adamw" else torch.optim.SGD(groups, 1e-6, 0.9)
    side = config.crop + 2 * net.context
    x = net.preprocess(photograph(side, side)).repeat(config.batch, 1, 1, 1)
    labels = torch.randint(0, 21, (config.batch, config.crop, config.crop))
    for _ in range(2):
        optimizer.zero_grad()
        torch.autograd.backward(net.training_loss(x, labels))
        optimizer.step()
    assert average
    print(peak_mib() - before)


def main() -> None:
    """Reads the command line and runs one job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    device = resolve_device(given.device)
    every = [card.id for card in list_cards(shipped_cards()).cards]
    match given.job:
        case "speed":
            speed(given.names or HEADLINE, device, given.rounds)
        case "torchvision":
            against_torchvision(given.names or list(TORCHVISION), device, given.rounds)
        case "memory":
            memory(given.names or FAMILIES, given.side)
        case "needs":
            needs(given.names or every, write=given.write)
        case "agreement":
            agreement(given.names[0], Path(given.names[1]), given.rounds)
        case "gpu":
            on_gpu(given.names or every)
        case "_huge":
            huge(given.names[0], given.side)
        case "_predict":
            predict_once(given.names[0])
        case "_train":
            train_once(given.names[0])
        case _:
            parser.error(f"there is no job {given.job}")


if __name__ == "__main__":
    main()
