"""The figures of evaluations as a file for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segstudio.imaging.files import write_atomic

if TYPE_CHECKING:
    from segstudio.services.evaluating import Comparison


def write_figures(path: Path, comparison: Comparison) -> None:
    """Writes every figure of one evaluation, or of several with their comparison, as one JSON file; from any thread.

    Raises:
        UserError: The file cannot be written.
    """
    write_atomic(path, json.dumps(figures_of(comparison), indent=1, ensure_ascii=False).encode("utf-8"))


def figures_of(comparison: Comparison) -> dict[str, Any]:
    """The figures of one evaluation as they are, of several with their differences beside."""
    evaluations = [evaluation.to_json() for evaluation in comparison.evaluations]
    return evaluations[0] if len(evaluations) == 1 else {"evaluations": evaluations, **comparison.to_json()}
