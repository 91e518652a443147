from __future__ import annotations

import numpy as np

from segstudio.refine.recent import Recent, fingerprint


def test_what_was_used_longest_ago_goes_first():
    kept = Recent[np.ndarray](limit=200)
    first = kept.get("first", lambda: np.zeros(80, np.uint8))
    kept.get("second", lambda: np.zeros(80, np.uint8))
    assert kept.get("first", lambda: np.ones(80, np.uint8)) is first
    kept.get("third", lambda: np.zeros(80, np.uint8))
    assert kept.nbytes == 160
    assert kept.get("first", lambda: np.ones(80, np.uint8)) is first
    assert kept.get("second", lambda: np.ones(80, np.uint8)).all()


def test_what_is_larger_than_the_limit_is_given_and_not_kept():
    kept = Recent[np.ndarray](limit=100)
    kept.get("small", lambda: np.zeros(80, np.uint8))
    assert kept.get("large", lambda: np.ones(101, np.uint8)).all()
    assert kept.nbytes == 80
    kept.clear()
    assert kept.nbytes == 0


def test_a_fingerprint_tells_images_apart_whatever_their_layout():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert fingerprint(image) == fingerprint(np.asfortranarray(image))
    assert fingerprint(image) != fingerprint(image + np.uint8(1))
