"""The greedy planner, rule by rule (runtime spec 5.2). Sizes are bytes of int8 tensors; places are worked out by hand."""

from __future__ import annotations

import pytest

from espdl.chips import LARGEST_MEMORY
from espdl.dl.plan import MemoryPlan, PlanGraph, PlanNode, Value, life_times, plan
from espdl.dtypes import DType, Inplace
from espdl.errors import EspdlError

N, V, C = Inplace.NON_INPLACE, Inplace.UNCHANGED_BUFFER, Inplace.CHANGED_BUFFER


def graph(sizes: dict[str, int], nodes: list[tuple], outputs: str, inputs: str = "x") -> PlanGraph:
    """A graph of int8 vectors. ``nodes``: (in-place class, inputs, outputs) with names separated by blanks."""
    made = []
    names = list(inputs.split())
    for number, (inplace, read, written) in enumerate(nodes):
        shapes = [[sizes[name]] for name in written.split()]
        made.append(PlanNode(f"n{number}", inplace, read.split(), written.split(), lambda _, shapes=shapes: shapes))
        names += [*read.split(), *written.split()]
    values = {name: Value(DType.INT8, 0, [size]) for name, size in sizes.items()}
    return PlanGraph(made, inputs.split(), outputs.split(), list(dict.fromkeys(names)), values, {})


def places(planned: MemoryPlan) -> dict[str, int]:
    return {name: tensor.offset for name, tensor in planned.tensors.items()}


def lives(described: PlanGraph) -> dict[str, tuple[int, int]]:
    return {name: (info.time_begin, info.get_time_end()) for name, info in life_times(described).items()}


class TestLifeTimes:
    def test_a_tensor_lives_until_the_step_after_its_last_reader(self):
        described = graph({"x": 9, "a": 9, "b": 9, "y": 9}, [(N, "x", "a"), (N, "a", "b"), (N, "a b", "y")], "y")
        assert lives(described) == {"x": (0, 1), "a": (0, 3), "b": (1, 3), "y": (2, -1)}

    def test_outputs_and_unread_tensors_live_for_ever(self):
        described = graph({"x": 9, "a": 9, "b": 9, "y": 9}, [(N, "x", "a b"), (N, "a", "y")], "a y")
        assert lives(described) == {"x": (0, 1), "a": (0, -1), "b": (0, -1), "y": (1, -1)}

    def test_a_follower_keeps_its_leader_alive(self):
        described = graph(
            {"x": 9, "a": 9, "b": 9, "c": 9, "y": 9}, [(N, "x", "a"), (C, "a", "b"), (V, "b", "c"), (N, "c", "y")], "y"
        )
        assert lives(described) == {"x": (0, 1), "a": (0, 4), "b": (1, 4), "c": (2, 4), "y": (3, -1)}
        infos = life_times(described)
        assert [infos[name].leader for name in "abc"] == [None, infos["a"], infos["b"]]

    def test_reading_a_leader_again_takes_the_overwriting_follower_off(self):
        described = graph({"x": 9, "a": 9, "b": 9, "y": 9}, [(N, "x", "a"), (C, "a", "b"), (N, "a b", "y")], "y")
        infos = life_times(described)
        assert infos["b"].leader is None
        assert lives(described)["a"] == (0, 3)

    def test_the_last_of_two_overwriting_followers_wins(self):
        described = graph({"x": 9, "a": 9, "b": 9, "c": 9}, [(N, "x", "a"), (C, "a", "b"), (C, "a", "c")], "b c")
        infos = life_times(described)
        assert infos["b"].leader is None
        assert infos["c"].leader is infos["a"]

    def test_a_view_keeps_others_from_overwriting_but_not_from_viewing(self):
        described = graph(
            {"x": 9, "a": 9, "v": 9, "w": 9, "c": 9, "y": 9},
            [(N, "x", "a"), (V, "a", "v"), (V, "a", "w"), (C, "a", "c")],
            "v w c",
        )
        infos = life_times(described)
        assert infos["v"].leader is infos["w"].leader is infos["a"]
        assert infos["c"].leader is None
        assert lives(described)["a"] == (0, -1)

    def test_a_refused_follower_has_reset_the_end_of_its_leader(self):
        described = graph(
            {"x": 9, "a": 9, "v": 9, "c": 9, "d": 9, "y": 9},
            [(N, "x", "a"), (V, "a", "v"), (N, "v", "d"), (C, "a", "c"), (N, "c d", "y")],
            "y",
        )
        assert lives(described)["a"] == (0, -1)

    def test_the_leader_is_the_first_input_that_is_large_enough_and_no_output(self):
        described = graph({"x": 9, "a": 8, "b": 9, "o": 9, "c": 9}, [(N, "x", "a b o"), (C, "a o b", "c")], "o c")
        infos = life_times(described)
        assert infos["c"].leader is infos["b"]

    def test_two_outputs_are_never_in_place(self):
        described = graph({"x": 9, "a": 9, "b": 9}, [(C, "x", "a b")], "a b")
        assert all(info.leader is None for info in life_times(described).values())


class TestPlaces:
    def test_freed_memory_is_used_again(self):
        planned = plan(graph({"x": 100, "a": 50, "b": 100, "y": 20}, [(N, "x", "a"), (N, "a", "b"), (N, "b", "y")], "y"))
        assert places(planned) == {"x": 0, "a": 112, "b": 0, "y": 112}
        assert (planned.internal_size, planned.psram_size) == (0, 176)
        assert not planned.hazards

    def test_tensors_of_one_step_are_placed_in_index_order(self):
        planned = plan(graph({"x": 16, "b": 32, "a": 48}, [(N, "x", "b a")], "a b"))
        assert places(planned) == {"x": 0, "b": 16, "a": 48}

    def test_followers_lie_on_their_leader(self):
        planned = plan(graph({"x": 16, "a": 40, "b": 33, "v": 33}, [(N, "x", "a"), (C, "a", "b"), (V, "b", "v")], "v"))
        assert places(planned) == {"x": 0, "a": 16, "b": 16, "v": 16}
        assert planned.tensors["v"].leader == "b"
        assert planned.psram_size == 64

    def test_a_graph_input_may_be_overwritten(self):
        planned = plan(graph({"x": 16, "y": 16}, [(C, "x", "y")], "y"))
        assert places(planned) == {"x": 0, "y": 0}
        assert not planned.hazards


CHAIN = graph({"x": 100, "a": 50, "b": 100, "y": 20}, [(N, "x", "a"), (N, "a", "b"), (N, "b", "y")], "y")


class TestMemories:
    def test_without_psram_everything_is_internal(self):
        planned = plan(CHAIN, 64, psram=False)
        assert places(planned) == {"x": 0, "a": 112, "b": 0, "y": 112}
        assert all(tensor.internal for tensor in planned.tensors.values())
        assert (planned.internal_size, planned.psram_size) == (176, 0)

    @pytest.mark.parametrize("size", [0, 1, 16])
    def test_a_limit_of_one_alignment_is_none(self, size):
        planned = plan(CHAIN, size)
        assert not any(tensor.internal for tensor in planned.tensors.values())
        assert (planned.internal_size, planned.psram_size) == (0, 176)

    def test_internal_memory_comes_first_and_is_taken_whole(self):
        planned = plan(CHAIN, 80)
        assert {name: (t.internal, t.offset) for name, t in planned.tensors.items()} == {
            "x": (False, 0),
            "a": (True, 0),
            "b": (False, 0),
            "y": (True, 0),
        }
        assert (planned.internal_size, planned.psram_size) == (80, 112)
        assert plan(CHAIN, 10_000).internal_size == 10_000
        assert plan(CHAIN, 10_000).psram_size == 0

    def test_followers_are_where_their_leader_is(self):
        planned = plan(graph({"x": 100, "a": 32, "b": 32, "y": 100}, [(N, "x", "a"), (C, "a", "b"), (N, "b", "y")], "y"), 32)
        assert [(planned.tensors[n].internal, planned.tensors[n].offset) for n in "ab"] == [(True, 0), (True, 0)]

    def test_such_an_arena_is_reported_when_it_breaks_a_run(self):
        sizes = {"x": 32, "b": 8, "e": 1, "c": 40, "y": 8}
        described = graph(sizes, [(N, "x", "b e"), (N, "e", "c"), (N, "b c", "y")], "y")
        planned = plan(described, 40)
        assert places(planned)["b"] == 32
        assert planned.tensors["c"].internal
        assert planned.hazards == ("'b' is overwritten by 'c' (node 'n1') before node 'n2' reads it",)

    def test_a_negative_limit(self):
        with pytest.raises(EspdlError, match="max_internal_size is -1"):
            plan(CHAIN, -1)


class TestHazards:
    def test_overwriting_a_view_of_what_is_read_later(self):
        described = graph(
            {"x": 9, "a": 9, "v": 9, "w": 9, "y": 9}, [(N, "x", "a"), (V, "a", "v"), (C, "v", "w"), (N, "a w", "y")], "y"
        )
        planned = plan(described)
        assert places(planned)["w"] == places(planned)["a"]
        assert planned.hazards == ("'a' is overwritten by 'w' (node 'n2') before node 'n3' reads it",)

    def test_overwriting_a_view_of_what_is_not_read_again_is_fine(self):
        assert not plan(graph({"x": 9, "a": 9, "v": 9, "w": 9}, [(N, "x", "a"), (V, "a", "v"), (C, "v", "w")], "w")).hazards

    def test_a_view_that_is_an_output_does_not_keep_its_memory(self):
        described = graph(
            {"x": 9, "a": 9, "v": 9, "b": 9, "c": 9}, [(N, "x", "a"), (V, "a", "v"), (N, "a", "b"), (N, "b", "c")], "v c"
        )
        planned = plan(described)
        assert planned.hazards == ("output 'v' is overwritten by 'c' (node 'n3') before the run ends",)

    def test_two_views_protect_each_other_as_long_as_nobody_writes(self):
        described = graph(
            {"x": 9, "a": 9, "v": 9, "w": 9, "y": 9}, [(N, "x", "a"), (V, "a", "v"), (V, "v", "w"), (N, "a v w", "y")], "y"
        )
        assert not plan(described).hazards

    def test_a_view_with_another_exponent_changes_its_source(self):
        described = graph({"x": 9, "a": 9, "v": 9, "y": 9}, [(N, "x", "a"), (V, "a", "v"), (N, "a v", "y")], "y")
        assert not plan(described).hazards
        described.values["v"] = Value(DType.INT8, -1, [9])
        assert plan(described).hazards == ("'a' is overwritten by 'v' (node 'n1') before node 'n2' reads it",)

    def test_repeating_an_input_in_place(self):
        described = graph({"x": 2, "y": 4}, [(C, "x", "y")], "y")
        described.values["x"] = Value(DType.INT16, 0, [2])
        described.values["y"] = Value(DType.BOOL)
        assert plan(described).hazards == ("node 'n0' repeats 'x' in place: the chip reads elements that it has overwritten",)


class TestErrors:
    @pytest.mark.parametrize(
        ("nodes", "message"),
        [
            ([(N, "x", "a"), (N, "z", "y")], "node 'n1': input 'z' does not exist yet"),
            ([(N, "y", "a"), (N, "a", "y")], "node 'n0': input 'y' does not exist yet"),
            ([(N, "x", "a"), (N, "x", "a"), (N, "a", "y")], "output 'a' exists already"),
            ([(N, "x", "x")], "output 'x' exists already"),
        ],
    )
    def test_graphs_that_cannot_run(self, nodes, message):
        with pytest.raises(EspdlError, match=message):
            plan(graph(dict.fromkeys("xayz", 9), nodes, "y"))

    def replaced(self, shapes=None, value=None, function=None) -> PlanGraph:
        described = graph({"x": 9, "y": 9}, [(N, "x", "y")], "y")
        node = PlanNode("n0", N, ["x"], ["y"], function or (lambda _: shapes), "Conv")
        if value:
            described.values["x"] = value
        return PlanGraph([node], ["x"], ["y"], ["x", "y"], described.values, {})

    @pytest.mark.parametrize(
        ("described", "message"),
        [
            ({"shapes": [[1], [2]]}, r"node 'n0' \(Conv\): the operator makes 2 outputs"),
            ({"shapes": [[0]]}, "at least 1"),
            ({"shapes": [[-3]]}, "at least 1"),
            ({"shapes": [[1 << 16, 1 << 16]]}, "takes 4294967296 bytes"),
            ({"function": lambda shapes: [[shapes[0][3]]]}, "do not fit the operator"),
            ({"shapes": [[9]], "value": Value(DType.INT8, 0, None)}, "input_shapes"),
            ({"shapes": [[9]], "value": Value(DType.FLOAT16, 0, [9])}, "does not know the size"),
            ({"shapes": [[9]], "value": Value(DType.STRING, 0, [9])}, "holds no numbers"),
        ],
    )
    def test_shapes_and_types_that_cannot_be(self, described, message):
        with pytest.raises(EspdlError, match=message):
            plan(self.replaced(**described))

    def test_plans_beyond_any_chip(self):
        half = LARGEST_MEMORY // 2 + 1
        with pytest.raises(EspdlError, match="bytes of PSRAM"):
            plan(graph({"x": half, "y": half}, [(N, "x", "y")], "y"))

    def test_the_type_of_every_tensor_must_be_known(self):
        described = graph({"x": 9, "y": 9}, [(N, "x", "y")], "y")
        del described.values["y"]
        with pytest.raises(EspdlError, match="does not say the type of tensor 'y'"):
            plan(described)
