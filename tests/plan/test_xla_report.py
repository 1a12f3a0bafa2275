"""What a program moves, read off a text whose volumes are known."""

from waltzjax.plan.xla_report import collectives, moved

PROGRAM = """HloModule jit_update

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%x, %y)
}

%inner (p: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %g = bf16[8,4]{1,0} all-gather(%a), replica_groups=[2,4]<=[8], dimensions={0}
  %alone = f32[8,4]{1,0} all-gather(%a), replica_groups={{0},{1},{2},{3}}, dimensions={0}
}

%outer (p: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %w = (s32[]) while(%t), condition=%c, body=%inner, backend_config={"known_trip_count":{"n":"3"}}
  %s = f32[2,4]{1,0} reduce-scatter(%b), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
}

ENTRY %main (p: f32[8,4]) -> f32[8,4] {
  %v = (s32[]) while(%u), condition=%d, body=%outer, backend_config={"known_trip_count":{"n":"5"}}
  %r = (f32[16]{0}, f32[]) all-reduce(%d), replica_groups=mesh['data'=2,'fsdp'=4] {'data','fsdp'}
}
"""


def test_loops_count_as_often_as_they_run():
    assert moved(PROGRAM) == {
        "all-gather": 3 * 5 * 8 * 4 * 2 * 3 / 4,
        "reduce-scatter": 5 * 2 * 4 * 4 * 3,  # of its operand, four times its result, 3 / 4
        "all-reduce": 2 * (16 * 4 + 4) * 7 / 8,
    }


def test_places_are_counted_once():
    assert collectives(PROGRAM) == {
        "all-gather bf16[8,4]": 1,
        "reduce-scatter f32[2,4]": 1,
        "all-reduce f32[16], f32[]": 1,
    }
