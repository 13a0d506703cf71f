"""Options for the whole suite, and small labelled networks: busy hosts, a resolver, a scan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from zeekml.datasets.environment import Environment
from zeekml.datasets.read import read_environment

# a busy machine is no reason to fail
settings.register_profile("zeekml", deadline=None)
settings.load_profile("zeekml")

# models, factories and fixtures that several folders share
sys.path.insert(0, str(Path(__file__).parent / "support"))
pytest_plugins = ["notice_fixtures", "zeek_connections"]

Table = Callable[..., pa.Table]


def pytest_configure() -> None:
    """Refuse to test compiled modules that are older than their sources."""
    package = Path(__file__).parents[1] / "zeekml"
    for source in package.rglob("*.pyx"):
        sources = [source, *source.parent.glob("*.pxd")]
        made = [path.stat().st_mtime for path in source.parent.glob(f"{source.stem}.*.so")]
        if not made or max(made) < max(path.stat().st_mtime for path in sources):
            raise pytest.UsageError(f"{source} is not compiled: run `python hatch_build.py`")


_SLOWEST = (
    "live/test_watch_machine.py",
    "evaluation/test_evaluate.py",
    "keras_import/test_refused.py",
    "live/test_watch_faults.py",
    "training/test_training_checkpoints.py",
    "damage/test_fuzz.py",
)
"""Files that take half a minute and more: begun last, they would keep one process busy alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slowest files; the others follow in their order."""

    def rank(item: pytest.Item) -> int:
        places = (n for n, name in enumerate(_SLOWEST) if item.path.as_posix().endswith(name))
        return next(places, len(_SLOWEST))

    items.sort(key=rank)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fail-on-skip",
        action="store_true",
        help="treat every skipped test as a failure, where all that tests need must be there",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.config.getoption("--fail-on-skip"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is not allowed here: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def make_table() -> Table:
    """Return a function that makes a labelled flow table."""

    def make(seed: int = 0, benign: int = 500, malicious: int = 80) -> pa.Table:
        rng = np.random.default_rng(seed)
        rows: list[dict[str, Any]] = []
        for _ in range(benign):
            dns = bool(rng.random() < 0.4)
            sent, received = float(rng.integers(30, 900)), float(rng.integers(60, 9000))
            rows.append(
                {
                    "ts": 1e9 + 3600 * float(rng.random()),
                    "uid": f"C{rng.integers(1 << 40):x}",
                    "id.orig_h": f"10.{seed}.0.{rng.integers(2, 12)}",
                    "id.orig_p": int(rng.integers(1025, 65000)),
                    "id.resp_h": f"10.{seed}.1.53" if dns else f"192.0.2.{rng.integers(1, 20)}",
                    "id.resp_p": 53 if dns else 443,
                    "proto": "udp" if dns else "tcp",
                    "service": "dns" if dns else "ssl",
                    "duration": float(rng.random()),
                    "orig_bytes": sent,
                    "resp_bytes": received,
                    "conn_state": "SF",
                    "orig_pkts": 1 if dns else 8,
                    "resp_pkts": 1 if dns else 9,
                    "orig_ip_bytes": sent + (28 if dns else 416),
                    "resp_ip_bytes": received + (28 if dns else 468),
                    "label": "benign",
                }
            )
        for number in range(malicious):
            rows.append(
                {
                    **rows[0],
                    "ts": 1e9 + 600 + 0.05 * number,
                    "uid": f"S{number}",
                    "id.orig_h": f"10.{seed}.0.99",
                    "id.resp_h": f"10.{seed}.2.{number + 1}",
                    "id.resp_p": 445,
                    "proto": "tcp",
                    "service": None,
                    "duration": None,
                    "orig_bytes": None,
                    "resp_bytes": None,
                    "conn_state": "S0",
                    "orig_pkts": 1,
                    "resp_pkts": 0,
                    "orig_ip_bytes": 60,
                    "resp_ip_bytes": 0,
                    "label": "scan",
                }
            )
        return pa.Table.from_pylist(rows)

    return make


@pytest.fixture
def make_environment(make_table: Table, tmp_path: Path) -> Callable[..., Environment]:
    """Return a function that makes an environment from a table (a made-up one by default)."""

    def make(table: pa.Table | None = None, name: str = "here", **options: int) -> Environment:
        path = tmp_path / f"{name}.parquet"
        pq.write_table(make_table(**options) if table is None else table, path)
        return read_environment(path)

    return make
