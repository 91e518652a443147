"""`segstudio refine`: the CRF on one image and its probabilities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from segstudio.cli.console import engine, out
from segstudio.core.errors import FormatError
from segstudio.engine.protocol import PredictionArrays, RefineSpec
from segstudio.imaging.decode import read_image, write_index_png
from segstudio.imaging.files import write_atomic
from segstudio.refine.api import DEFAULT_BACKEND
from segstudio.refine.params import DEFAULT_PRESET, preset
from segstudio.services.blocking import wait_for

_MAX_BYTES = 4 << 30


def command(
    image: Annotated[Path, typer.Argument(help="The image.")],
    probabilities: Annotated[Path, typer.Argument(metavar="PROBABILITIES.npy", help="(C, h, w) floats.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.png", help="Index PNG to write.")],
    *,
    name: Annotated[str, typer.Option("--preset", help="Published CRF parameters.")] = DEFAULT_PRESET,
    temperature: Annotated[float, typer.Option(help="Above 1 the probabilities count for less, below for more.")] = 1.0,
    exact: Annotated[bool, typer.Option("--exact", help="Keep classes that no pixel wants to the end.")] = False,
    backend: Annotated[str, typer.Option("--engine", help="native, torch or pydensecrf.")] = DEFAULT_BACKEND,
) -> int:
    """Sharpen class probabilities with the fully connected CRF and write the labels.

    Example: segstudio refine photo.jpg photo.npy photo.png
    """
    params = replace(preset(name), temperature=temperature)
    params.validate()
    scores = _load(probabilities)
    rgb = read_image(image).rgb
    spec = RefineSpec(params=params, class_ids=tuple(range(scores.shape[0])), backend=backend, exact=exact)
    with engine() as running:
        result = wait_for(lambda listener: running.refine(spec, rgb, scores, listener))
    assert isinstance(result, PredictionArrays)
    try:
        write_atomic(target, write_index_png(None, result.labels, None))
    except OSError as error:
        raise FormatError(f"{target} cannot be written ({error.strerror}).", "Choose another file.") from error
    out.print(f"{target}: {scores.shape[0]} classes, {rgb.shape[1]} x {rgb.shape[0]} pixels", markup=False)
    return 0


def _load(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.floating]]:
    hint = "Give a .npy file of (classes, height, width) floats."
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise FormatError(f"{path.name} is larger than 4 GiB.", hint)
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise FormatError(f"{path} cannot be read ({error.strerror or error}).", hint) from error
    except (ValueError, EOFError) as error:
        raise FormatError(f"{path.name} is not a plain NumPy array.", hint) from error
    if not isinstance(array, np.ndarray) or array.ndim != 3 or not np.issubdtype(array.dtype, np.floating):
        raise FormatError(f"{path.name} does not hold (classes, height, width) floats.", hint)
    if not 1 <= array.shape[0] <= 255:
        raise FormatError(f"{path.name} holds {array.shape[0]} classes; 1 to 255 are possible.", hint)
    return array
