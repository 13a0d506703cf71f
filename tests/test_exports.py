"""What `zeekml` exports, and that its page in the docs shows all of it and runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import zeekml
from zeekml.detection.flow_rules import rule_in

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "python-api.md").read_text()
LOG = ROOT / "sample_logs" / "zeek_tsv" / "conn.log"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_exported_names() -> None:
    told = re.findall(r"`(\w+)`", PAGE.split("## Names")[1])
    assert sorted([*told, "__version__"]) == sorted(zeekml.__all__)
    for name in zeekml.__all__:
        assert getattr(zeekml, name) is not None
        assert name in dir(zeekml)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = zeekml.no_such_name


def test_importing_the_package_costs_nothing() -> None:
    program = "import sys, zeekml; print(len({m.partition('.')[0] for m in sys.modules} & {heavy}))"
    heavy = {"numpy", "pandas", "pyarrow", "sklearn", "ai_edge_litert"}
    done = subprocess.run(
        [sys.executable, "-c", program.replace("{heavy}", repr(heavy))],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout == "0\n"


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conn.log").symlink_to(LOG)
    names: dict[str, object] = {}
    exec(compile(EXAMPLES[number], f"example {number}", "exec"), names)
    for name in ("flows", "scores", "reasons", "notices", "scored"):
        if name in names:
            assert names[name] is not None


def test_explanations_are_those_of_notices() -> None:
    (stream,) = zeekml.read_streams(LOG)
    pipeline = zeekml.Pipeline(
        zeekml.load_bundle(), zeekml.load_policy(), sensor=stream.sensor, stream=stream.name
    )
    notices = [n for flows in stream.batches() for n in pipeline.feed(flows)[1]]
    opened = [n for n in notices if n.seq == 0][:3]
    reasons = zeekml.explain(LOG, [str(n.flow.uid) for n in opened])
    assert len(opened) == 3
    for notice in opened:
        of_models = tuple(reason for reason in notice.why if reason != rule_in(notice.why))
        assert tuple(reasons[reasons["uid"] == notice.flow.uid]["text"]) == of_models
        assert notice.id.encode() in zeekml.notice_line(notice)
        assert notice.id.encode() in zeekml.eve_alert(notice)
