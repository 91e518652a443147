from __future__ import annotations

import numpy as np
import pytest

from segstudio.engine.protocol import Region
from segstudio.engine.shm import SlotPool, attach, needed_bytes, store, view


@pytest.fixture
def pool(shared_memory_left):
    pool = SlotPool()
    yield pool
    pool.close()
    assert not shared_memory_left()


def test_arrays_written_by_one_side_are_read_by_the_other(pool):
    arrays = (np.arange(12, dtype=np.uint8).reshape(2, 3, 2), np.linspace(0, 1, 5, dtype=np.float16))
    slot = pool.acquire(needed_bytes(arrays, 0))
    regions, _ = slot.write(arrays)
    visitor = attach(slot.name)
    for array, region in zip(arrays, regions, strict=True):
        assert np.array_equal(view(visitor, region), array)
        assert np.array_equal(slot.read(region), array)
    visitor.close()


def test_regions_are_aligned_and_do_not_overlap(pool):
    arrays = (np.ones(5, np.uint8), np.ones(70, np.uint8), np.ones(1, np.float64))
    regions, end = pool.acquire(needed_bytes(arrays, 0)).write(arrays)
    assert [region.offset for region in regions] == [0, 64, 192]
    assert end == 256


def test_a_read_array_is_a_copy(pool):
    slot = pool.acquire(100)
    (region,), _ = slot.write((np.zeros(4, np.uint8),))
    copy = slot.read(region)
    slot.write((np.ones(4, np.uint8),))
    assert not copy.any()


def test_a_released_slot_is_reused_for_its_size_class(pool):
    slot = pool.acquire(1_500_000)
    name = slot.name
    pool.release(slot)
    assert (pool.used, pool.free) == (0, 1)
    assert pool.acquire(2_000_000).name == name
    assert pool.acquire(2_000_000).name != name


def test_a_large_slot_is_not_spent_on_a_small_job(pool):
    large = pool.acquire(64 << 20)
    pool.release(large)
    assert pool.acquire(1000).name != large.name


def test_slots_beyond_what_is_worth_keeping_are_given_back(pool):
    slots = [pool.acquire(100 << 20) for _ in range(4)]
    for slot in slots:
        pool.release(slot)
        pool.release(slot)
    assert pool.free == 2


def test_what_does_not_fit_is_refused(pool):
    slot = pool.acquire(100)
    visitor = attach(slot.name)
    with pytest.raises(ValueError, match="do not fit"):
        store(visitor, (np.zeros(slot.size, np.uint8),), offset=64)
    visitor.close()


def test_closing_frees_slots_in_use():
    pool = SlotPool()
    name = pool.acquire(10).name
    pool.close()
    with pytest.raises(FileNotFoundError):
        attach(name)


def test_an_empty_region_is_an_empty_array(pool):
    slot = pool.acquire(10)
    assert slot.read(Region(0, (0, 3), "|u1")).shape == (0, 3)
