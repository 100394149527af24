"""The tables, character by character (runtime spec 4.4, 4.5)."""

from textwrap import dedent

from espdl.dl.profile import MemInfo, ModuleInfo, memory_table, model_header, module_table

KB = 1024


def expected(text: str) -> str:
    return dedent(text).strip("\n")


def test_memory_summary():
    info = {
        "fbs_model": MemInfo(flash=round(812.44 * KB)),
        "parameter": MemInfo(flash=round(790.19 * KB)),
        "parameter_copy": MemInfo(psram=round(790.19 * KB)),
        "variable": MemInfo(psram=294 * KB),
        "others": MemInfo(internal=round(61.2 * KB), psram=round(12.8 * KB)),
        "total": MemInfo(internal=round(61.2 * KB), psram=round(1096.99 * KB), flash=round(812.44 * KB)),
    }
    assert memory_table(info, name="demo", location="MODEL LOCATION IN FLASH RODATA") == expected("""
        model:demo, version:0
        MODEL LOCATION IN FLASH RODATA
        +----------------+--------------+-----------+--------------+
        |                      memory summary                      |
        +----------------+--------------+-----------+--------------+
        |                | internal RAM | PSRAM     | FLASH        |
        +----------------+--------------+-----------+--------------+
        | fbs_model      |              |           | 812.44KB     |
        |  -- parameter  |              |           |  -- 790.19KB |
        +----------------+--------------+-----------+--------------+
        | parameter_copy |              | 790.19KB  |              |
        +----------------+--------------+-----------+--------------+
        | variable       |              | 294.00KB  |              |
        +----------------+--------------+-----------+--------------+
        | others         | 61.20KB      | 12.80KB   |              |
        +----------------+--------------+-----------+--------------+
        | total          | 61.20KB      | 1096.99KB | 812.44KB     |
        +----------------+--------------+-----------+--------------+
    """)


def test_empty_memory_summary_has_an_odd_space_on_the_right():
    assert memory_table({"total": MemInfo(psram=5, flash=123456)}) == expected("""
        +----------------+--------------+-------+----------+
        |                  memory summary                  |
        +----------------+--------------+-------+----------+
        |                | internal RAM | PSRAM | FLASH    |
        +----------------+--------------+-------+----------+
        | fbs_model      |              |       |          |
        |  -- parameter  |              |       |          |
        +----------------+--------------+-------+----------+
        | parameter_copy |              |       |          |
        +----------------+--------------+-------+----------+
        | variable       |              |       |          |
        +----------------+--------------+-------+----------+
        | others         |              |       |          |
        +----------------+--------------+-------+----------+
        | total          |              |       | 120.56KB |
        +----------------+--------------+-------+----------+
    """)
    title = memory_table({"total": MemInfo(flash=12345)}).splitlines()[1]
    assert title == "|                 memory summary                  |"


def test_header():
    assert model_header("net", 3, "a net") == "model:net, version:3, description:a net"


ROWS = [("/conv1/Conv", "Conv", 1520.9), ("/relu/Relu", "Relu", 88.0)]


def test_module_summary_in_file_order():
    table = expected("""
        +-------------+------+---------+
        |        module summary        |
        +-------------+------+---------+
        | name        | type | latency |
        +-------------+------+---------+
        | /conv1/Conv | Conv | 1520us  |
        +-------------+------+---------+
        | /relu/Relu  | Relu | 88us    |
        +-------------+------+---------+
        | total       |      | 1608us  |
        +-------------+------+---------+
    """)
    assert module_table(ROWS) == table
    info = {name: ModuleInfo(kind, latency) for name, kind, latency in ROWS}
    assert module_table({"total": ModuleInfo("", 1608), **info}) == table


def test_module_summary_slowest_first():
    rows = [("b", "Add", 7), ("a", "Add", 7), ("c", "LayerNormalization", 1234567)]
    assert module_table(rows, sort_module_by_latency=True) == expected("""
        +-------+--------------------+-----------+
        |             module summary             |
        +-------+--------------------+-----------+
        | name  | type               | latency   |
        +-------+--------------------+-----------+
        | total |                    | 1234581us |
        +-------+--------------------+-----------+
        | c     | LayerNormalization | 1234567us |
        +-------+--------------------+-----------+
        | a     | Add                | 7us       |
        +-------+--------------------+-----------+
        | b     | Add                | 7us       |
        +-------+--------------------+-----------+
    """)


def test_memory_arithmetic():
    assert MemInfo(1, 2, 3) + MemInfo(4, 5, 6) == MemInfo(5, 7, 9)
    assert MemInfo(1, 2, 3).total == 6
