"""What glibc is told while pipelines are measured, and after."""

from __future__ import annotations

import pytest

from pipeline_opt.tuner.allocator import KEPT_BYTES, LARGEST_BYTES, keeping_memory

TRIM, MMAP = -1, -3


class FakeLibc:
    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def mallopt(self, name: int, value: int) -> int:
        self.told.append(("mallopt", name, value))
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.told.append(("malloc_trim", pad, 0))
        return 1


def test_what_is_freed_is_kept_and_given_back_in_the_end() -> None:
    libc = FakeLibc()

    def measuring() -> None:
        with keeping_memory({}, libc):
            assert libc.told == [("mallopt", MMAP, LARGEST_BYTES), ("mallopt", TRIM, KEPT_BYTES)]
            libc.told.clear()
            raise KeyError

    with pytest.raises(KeyError):
        measuring()
    assert libc.told == [("mallopt", TRIM, 2 * LARGEST_BYTES), ("malloc_trim", 0, 0)]


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_environment_says_stays(name: str) -> None:
    libc = FakeLibc()
    with keeping_memory({name: "1"}, libc):
        pass
    assert libc.told == []


def test_another_allocator_is_left_alone() -> None:
    with keeping_memory({}, object()):
        pass


def test_the_allocator_of_this_process_knows_the_settings() -> None:
    with keeping_memory({}):
        assert len(bytes(1 << 20)) == 1 << 20
