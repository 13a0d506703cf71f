"""When Arrow imports pandas, looked at in a process of its own."""

from __future__ import annotations

from own_process import outcome


def test_pandas_comes_when_it_is_asked_for_and_not_before() -> None:
    told = outcome("""
import json, sys
from zeekml.core.arrow import do_without_pandas
hooks = list(sys.meta_path)
do_without_pandas()
import pyarrow as pa
column = pa.array([1, 2])
unasked = "pandas" not in sys.modules
print(json.dumps([unasked, sys.meta_path == hooks, column.to_pandas().tolist()]))
""")
    assert told == [True, True, [1, 2]]


def test_once_pandas_is_there_nothing_changes() -> None:
    told = outcome("""
import json
import pandas
from zeekml.core.arrow import do_without_pandas
do_without_pandas()
import pyarrow as pa
print(json.dumps(pa.array([1, 2]).to_pandas().tolist()))
""")
    assert told == [1, 2]
