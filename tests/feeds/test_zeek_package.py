"""Zeek's scripts: they parse, and take just what the feed writes, by name and type."""

from __future__ import annotations

import configparser
import io
import json
import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zeekscript
from made_up_lines import HEALTH, NOTICE

from zeekml.alerts.health_notice import MODEL_DRIFT, SENSOR_HEALTH, SENSOR_PROBLEM
from zeekml.alerts.zeek_notice import encode_json
from zeekml.detection.notice import NOTES
from zeekml.feeds.feed_directory import NOTICE_TABLE, NOTICES
from zeekml.feeds.host_files import INTEL, host_files
from zeekml.feeds.hosts import ListedHost
from zeekml.feeds.zeek_lines import FIELDS, feed_line, feed_table

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "rules" / "zeek").glob("*.zeek"))
HEALTH_NOTES = {SENSOR_HEALTH, SENSOR_PROBLEM, MODEL_DRIFT}

# what a Zeek type is in JSON, as `from_json` takes it
IN_JSON = {
    "time": float,
    "interval": float,
    "double": float,
    "count": int,
    "string": str,
    "addr": str,
    "port": str,
}


def text_of(name: str) -> str:
    """A script without its comments."""
    text = (ROOT / "rules" / "zeek" / f"{name}.zeek").read_text()
    return re.sub(r"(?m)#.*$", "", text)


def record(script: str, name: str) -> dict[str, tuple[str, bool]]:
    """The fields of a record: type, and whether one must be there."""
    (body,) = re.findall(rf"type {name}: record \{{(.*?)\}};", text_of(script), re.DOTALL)
    fields = re.findall(r"(\w+): (\w+)( &optional)?;", body)
    assert len(fields) == body.count(";")
    return {field: (kind, not optional) for field, kind, optional in fields}


LINE = record("notices", "Line")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_are_formatted(path: Path) -> None:
    script = zeekscript.Script(str(path))
    assert script.parse()
    assert not script.has_error()
    formatted = io.BytesIO()
    script.format(formatted)
    assert formatted.getvalue() == path.read_bytes()


def test_a_broken_script_would_be_found(tmp_path: Path) -> None:
    broken = tmp_path / "broken.zeek"
    broken.write_text("module A;\n\nfunction f(\n\t{\n")
    script = zeekscript.Script(str(broken))
    assert not script.parse() or script.has_error()


def test_zeek_itself_takes_them_where_there_is_one() -> None:
    zeek = shutil.which("zeek")
    for name in ("__load__", "table", "intel") if zeek else ():
        done = subprocess.run(
            [zeek or "", "-a", ROOT / "rules" / "zeek" / f"{name}.zeek"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_record_has_the_fields_of_a_line_in_their_order() -> None:
    assert [(name, kind) for name, (kind, _) in LINE.items()] == [(f.name, f.type) for f in FIELDS]


def test_the_rows_of_the_table_have_them_too() -> None:
    key, rest = record("table", "RowKey"), record("table", "Row")
    assert {**key, **rest} == LINE
    header = feed_table([]).decode().rstrip("\n").split("\t")
    assert header == ["#fields", *key, *rest]
    # and all are handed on
    handed = set(re.findall(r"line\$(\w+) = row\$\1;", text_of("table")))
    handed |= set(re.findall(r"\$(\w+)=(?:row|key)\$\1\b", text_of("table")))
    assert handed == set(LINE)


@pytest.mark.parametrize(
    "notice",
    [
        *(NOTICE, HEALTH),
        replace(NOTICE, flow=replace(NOTICE.flow, uid=None, community_id=None, proto="gre")),
        replace(NOTICE, src=None, dst=None, p=None, confidence=None, rarity="", seq=3),
    ],
)
def test_a_line_has_what_the_record_asks_for(notice: Any) -> None:
    told = json.loads(feed_line(json.loads(encode_json(notice))))
    assert set(told) <= set(LINE)
    for name, (kind, needed) in LINE.items():
        assert name in told or not needed
        if name in told:
            assert type(told[name]) is IN_JSON[kind], name
            if kind == "port":
                assert re.fullmatch(r"\d{1,5}/(tcp|udp|icmp)", told[name])


def test_every_note_is_a_type_of_zeeks() -> None:
    text = text_of("notices")
    (body,) = re.findall(r"redef enum Notice::Type \+= \{(.*?)\};", text, re.DOTALL)
    types = set(re.findall(r"\w+", body))
    table = dict(re.findall(r'\["(ZeekML::\w+)"\] = (\w+)', text))
    assert set(table) == {*NOTES.values(), *HEALTH_NOTES}
    assert all(note == f"ZeekML::{kind}" for note, kind in table.items())
    assert {*table.values(), "Other"} == types
    (health,) = re.findall(r"health_notes: set\[string\] = \{(.*?)\};", text, re.DOTALL)
    assert set(re.findall(r'"(.*?)"', health)) == HEALTH_NOTES


def test_the_scripts_read_the_files_that_are_written() -> None:
    assert f'notice_file = "{NOTICES}"' in text_of("stream")
    assert f'table_file = "{NOTICE_TABLE}"' in text_of("table")
    assert f'feed_dir + "/{INTEL}"' in text_of("intel")
    host = ListedHost("192.0.2.1", "attacker", ("scan",), "high", None, (), 0.0, 1.0)
    header, row = host_files([host])[INTEL].decode().splitlines()
    cells = dict(zip(header.split("\t")[1:], row.split("\t"), strict=True))
    assert set(record("intel", "IntelKey")) <= set(cells)
    assert f'$source="{cells["meta.source"]}"' in text_of("intel")


def test_what_is_loaded_is_there() -> None:
    for path in SCRIPTS:
        for name in re.findall(r"@load \./(\w+)", path.read_text()):
            assert path.with_name(f"{name}.zeek") in SCRIPTS


def test_the_package_is_whole() -> None:
    meta = configparser.ConfigParser()
    meta.read(ROOT / "zkg.meta")
    package = meta["package"]
    assert (ROOT / package["script_dir"] / "__load__.zeek") in SCRIPTS
    for path in package["config_files"].split(","):
        assert (ROOT / path.strip()) in SCRIPTS
    assert package["depends"].split() == ["zeek", ">=6.0.0"]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert {"/zkg.meta", "/rules"} <= set(build["targets"]["sdist"]["include"])
