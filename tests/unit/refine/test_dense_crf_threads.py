"""The same bits for any number of threads, callers and processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import pytest

from segstudio.refine import dense_crf
from segstudio.refine.dense_crf import DenseCrf
from segstudio.refine.recent import Recent
from segstudio.refine.team import Team

# Run here and in processes of its own.
_LARGER: Final = """
import hashlib
import numpy as np
from segstudio.refine.dense_crf import DenseCrf
from segstudio.refine.recent import Recent

def digest(seed):
    rng = np.random.default_rng(seed)
    crf = DenseCrf(45, 70, 5)
    crf.set_unary(rng.gamma(1, 2, (5, 45, 70)))
    crf.add_gaussian(2, 1.5)
    crf.add_bilateral(rng.integers(0, 256, (45, 70, 3)).astype(np.uint8), 20, 40, 3)
    crf.add_features(rng.normal(0, 1, (45, 70, 3)), rng.uniform(-1, 0, (5, 5)), "after")
    return hashlib.sha256(crf.infer(6).tobytes()).hexdigest()
"""


@pytest.fixture
def digest() -> Callable[[int], str]:
    """A checksum of the result of a model that follows from a seed."""
    names: dict[str, Any] = {"hashlib": hashlib}
    exec(compile(_LARGER, "larger", "exec"), names)
    made: Callable[[int], str] = names["digest"]
    return made


@pytest.fixture
def nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every lattice is built anew."""
    monkeypatch.setattr(dense_crf, "shared_cache", lambda: Recent(0))


@pytest.mark.usefixtures("nothing_cached")
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_any_number_of_threads_gives_the_same_bits(
    digest: Callable[[int], str], team_of: Callable[[int], Team], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    expected, other = digest(0), team_of(size)
    monkeypatch.setattr(dense_crf, "team", lambda: other)
    assert digest(0) == expected


@pytest.mark.usefixtures("nothing_cached")
def test_threads_that_refine_at_once_get_the_bits_they_would_get_alone(digest: Callable[[int], str]) -> None:
    expected = [digest(seed) for seed in range(4)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(digest, [*range(4)] * 3)) == expected * 3


def test_one_model_may_be_inferred_by_two_threads_at_once() -> None:
    crf = DenseCrf(30, 40, 4)
    crf.set_unary(np.random.default_rng(0).gamma(1, 2, (4, 30, 40)))
    crf.add_gaussian(2, 1.5)
    expected = crf.infer(20)
    with ThreadPoolExecutor(2) as pool:
        assert all(np.array_equal(result, expected) for result in pool.map(crf.infer, [20] * 8))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_another_process_and_its_fork_get_the_same_bits(digest: Callable[[int], str]) -> None:
    forking = """
import os
print(digest(0), flush=True)
child = os.fork()
if child == 0:
    print(digest(0), digest(1), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(digest(1), flush=True)
"""
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", _LARGER + forking], stdout=subprocess.PIPE) as process:
        zero, one = digest(0), digest(1)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert output.decode().split() == [zero, zero, one, one]
