"""Arrow without pandas, which takes longer to import than all else that a run needs."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder


class _WithoutPandas(MetaPathFinder):
    """None in `sys.modules`, Python's own way to say so, would be taken for pandas by Arrow."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not used by this process", name=name)


def do_without_pandas() -> None:
    """Keep Arrow from importing pandas, which it else does the first time it makes an array.

    Whatever asks for pandas by name, as Arrow's own `to_pandas`, still gets it.
    """
    import pyarrow as pa

    if "pandas" in sys.modules:
        return
    hook = _WithoutPandas()
    sys.meta_path.insert(0, hook)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(hook)
