"""The pieces of the memory planner. Sizes are bytes of int8 tensors; places are worked out by hand (runtime spec 5.2 step B)."""

from __future__ import annotations

import pytest

from espdl.dl.arena import Arena, MemoryChunk, TensorInfo, planned_bytes
from espdl.dtypes import DType


def info(name: str, size: int) -> TensorInfo:
    return TensorInfo(name, 0, -1, [size], DType.INT8)


class TestArena:
    def filled(self, *sizes: int) -> tuple[Arena, list[TensorInfo]]:
        arena = Arena()
        tensors = [info(str(i), size) for i, size in enumerate(sizes)]
        for tensor in tensors:
            arena.place(tensor)
        return arena, tensors

    def test_the_smallest_chunk_that_fits_is_split(self):
        arena, tensors = self.filled(96, 16, 48, 16)
        arena.release(tensors[0])
        arena.release(tensors[2])
        assert arena.place(info("a", 17)) == 112
        assert [(c.offset, c.size) for c in arena.free] == [(144, 16), (0, 96)]

    def test_of_equal_chunks_the_one_freed_first_is_taken(self):
        arena, tensors = self.filled(32, 16, 32, 16, 32, 16)
        for index in (2, 4, 0):
            arena.release(tensors[index])
        assert [arena.place(info(name, 32)) for name in "abc"] == [48, 96, 0]

    def test_free_neighbours_are_merged(self):
        arena, tensors = self.filled(16, 32, 48, 16)
        arena.release(tensors[0])
        arena.release(tensors[2])
        arena.release(tensors[1])
        assert [(c.offset, c.size) for c in arena.free] == [(0, 96)]
        assert [(c.offset, c.size) for c in arena.chunks] == [(0, 96), (96, 16)]

    def test_a_last_chunk_that_is_free_but_too_small_grows_in_place(self):
        arena, tensors = self.filled(16, 32)
        arena.release(tensors[1])
        assert arena.place(info("a", 100)) == 16
        assert arena.size == 128
        assert not arena.free

    def test_else_a_chunk_is_added(self):
        arena, tensors = self.filled(16, 32)
        arena.release(tensors[0])
        assert arena.place(info("a", 17)) == 48
        assert arena.size == 80

    def test_releasing_a_stranger_does_nothing(self):
        arena, _ = self.filled(16)
        arena.release(info("z", 16))
        assert not arena.free

    def test_chunk_methods(self):
        chunk = MemoryChunk(64, True)
        tensor = info("a", 20)
        rest = chunk.insert(tensor)
        assert rest is not None
        assert (chunk.size, chunk.tensor, chunk.is_free) == (32, tensor, False)
        assert (rest.offset, rest.size, rest.is_free) == (32, 32, True)
        assert chunk.insert(tensor) is None
        assert chunk.extend(tensor) is None
        assert rest.merge_free_chunk(chunk) is None
        chunk.free()
        assert rest.merge_free_chunk(chunk) is rest
        assert (rest.offset, rest.size) == (0, 64)
        assert rest.extend(info("b", 65)) is rest
        assert rest.size == 80
        assert MemoryChunk(info("c", 3)).size == 16

    def test_the_end_of_an_odd_internal_arena_is_given_away_without_being_marked(self):
        arena = Arena(16, 40)
        first = info("a", 32)
        assert arena.fit(first) == 0
        assert arena.fit(info("b", 8)) == 32
        assert [(c.size, c.is_free) for c in arena.chunks] == [(32, False), (8, True)]
        assert not arena.free
        arena.release(first)  # merges with the chunk that b lies in
        assert [(c.offset, c.size) for c in arena.free] == [(0, 40)]


@pytest.mark.parametrize(
    ("dtype", "size"), [(DType.FLOAT, 24), (DType.UINT16, 12), (DType.INT64, 48), (DType.BOOL, 6), (DType.FLOAT16, 6)]
)
def test_planned_bytes(dtype, size):
    assert planned_bytes([2, 3], dtype) == size
    assert planned_bytes([], dtype) == size // 6


class TestTensorInfo:
    def test_offsets_are_those_of_the_leader(self):
        leader, follower = info("a", 9), info("b", 9)
        follower.set_inplace_leader_tensor(leader)
        assert follower.is_inplaced()
        follower.set_offset(32)
        assert leader.get_offset() == follower.get_offset() == 32
        follower.set_internal_offset(48)
        assert leader.get_internal_offset() == 48
        assert leader.get_internal_state()
        follower.set_internal_state(False)
        assert not leader.get_internal_state()
        assert follower.get_time_begin() == 0

    def test_an_end_of_never_is_raised_by_a_later_time(self):
        tensor = info("a", 9)
        tensor.update_time(5)
        tensor.update_time(3)
        assert tensor.get_time_end() == 5
        tensor.update_time(-1)
        tensor.update_time(3)
        assert tensor.get_time_end() == 3

    def test_print(self, capsys):
        info("a", 9).print()
        assert capsys.readouterr().out == "name:a, from 0 to -1, size:9, offset:(0, 0)\n"
        assert info("a", 9).get_name() == "a"
