"""`zeekml label`, `adapt` and versions of bundles, as users run them on the sample logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

SAMPLES = Path(__file__).parents[2] / "sample_logs"
CONN = SAMPLES / "zeek_tsv" / "conn.log"


@pytest.fixture(scope="module")
def scored(zeekml: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("scored") / "out"
    done = zeekml("score", CONN, "--out", out, "--scores", "--no-progress")
    assert done.returncode == 0, done.stderr
    return out


def ids(out: Path) -> list[str]:
    lines = (out / "notice.log").read_text().splitlines()
    return list(dict.fromkeys(json.loads(line)["zeekml_id"] for line in lines))


def test_labels_are_given_shown_and_taken_back(zeekml: Any, scored: Path, tmp_path: Path) -> None:
    first, second, third = ids(scored)[:3]
    done = zeekml("label", first[:10], second, "false", "--note", "known", "--out", scored)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{first}: false\n{second}: false\n"
    table = tmp_path / "labels.csv"
    table.write_text(f"id,label,threat\n{third},true,scan\n{first},false,\n")
    done = zeekml("label", "--from", table, "--out", scored)
    # the note is no longer there
    assert done.stdout == f"{third}: true\n{first}: false\n"
    done = zeekml("label", "--from", "-", "--out", scored, stdin=table.read_bytes())
    assert done.stdout == f"{third}: true, as before\n{first}: false, as before\n"
    shown = zeekml("label", "list", "--out", scored).stdout
    assert shown.count("false") == 2
    assert third in shown
    assert zeekml("label", "undo", second[:12], "--out", scored).returncode == 0
    assert second not in zeekml("label", "list", "--out", scored).stdout
    history = zeekml("label", "list", second, "--out", scored).stdout
    assert "taken back" in history
    assert "known" in history
    assert zeekml("label", "undo", second, "--out", scored).returncode == 66
    picture = json.loads(zeekml("dashboard", "--out", scored, "--once", "--json").stdout)
    by_id = {incident["id"]: incident for incident in picture["incidents"]}
    assert by_id[first]["label"] is False


def test_a_flow_that_raised_nothing_is_labelled_by_its_uid(zeekml: Any, scored: Path) -> None:
    rows = pq.read_table(scored / "scores.parquet").to_pylist()
    quiet = min(rows, key=lambda row: row["score"])
    done = zeekml("label", quiet["uid"], "true", "--threat", "exfil", "--out", scored)
    assert done.stdout == f"flow:{quiet['uid']}: true\n"
    by_community = zeekml("label", quiet["community_id"], "true", "--out", scored)
    assert by_community.returncode in (0, 66)
    assert zeekml("label", "undo", quiet["uid"], "--out", scored).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("nonsense", "true"), 66, "no incident is called nonsense"),
        (("abcd",), 2, "ID... true or ID... false"),
        (("list", "--note", "x"), 2, "takes no labels"),
        (("undo",), 2, "needs an ID"),
        (("a", "true", "--from", "x.csv"), 2, "leave the rest out"),
    ],
)
def test_what_makes_no_sense(
    zeekml: Any, scored: Path, arguments: tuple[str, ...], code: int, reason: str
) -> None:
    done = zeekml("label", *arguments, "--out", scored)
    assert done.returncode == code
    assert reason in done.stderr
    assert zeekml("label", "list").returncode == 2


def test_labels_that_say_attacks_are_none_are_refused(
    zeekml: Any, scored: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for path in scored.iterdir():
        if path.is_file() and not path.name.startswith("labels"):
            (out / path.name).write_bytes(path.read_bytes())
    assert zeekml("label", *ids(out), "false", "--out", out).returncode == 0
    bundle = tmp_path / "bundle"
    done = zeekml("adapt", "--out", out, CONN, "--to", bundle, "--json", "--no-progress")
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert told["promoted"] is False
    assert told["new"] is None
    assert told["reasons"]
    assert "the labels are not believed" in told["reasons"][0]
    assert "its evidence is that of an attack" in done.stderr
    assert not bundle.exists()
    kept = json.loads((out / "adapted.json").read_bytes())
    assert kept["reasons"] == told["reasons"]
    picture = zeekml("dashboard", "--out", out, "--once", "--json")
    assert json.loads(picture.stdout)["health"]["adapted"]["reasons"] == told["reasons"]
    said = zeekml("adapt", "--out", out, CONN, "--dry-run", "--no-progress")
    assert said.returncode == 3
    assert "The bundle stays as it is." in said.stdout
    assert zeekml("adapt", "--out", tmp_path, "--dry-run").returncode == 66
    assert zeekml("adapt", "--out", out).returncode == 2


def test_versions(zeekml: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert zeekml("bundle", "list", "--store", store).returncode == 66
    done = zeekml("bundle", "promote", "--store", store)
    assert done.returncode == 0, done.stderr
    (version,) = json.loads(zeekml("bundle", "list", "--store", store, "--json").stdout)
    assert version["current"]
    assert "in force" in zeekml("bundle", "list", "--store", store).stdout
    digest = version["sha256"][:12]
    assert zeekml("bundle", "promote", digest, "--store", store).returncode == 0
    done = zeekml("bundle", "verify", store / "current")
    assert digest in done.stdout
    assert zeekml("bundle", "rollback", "--store", store).returncode == 66
    done = zeekml("bundle", "remove-rule", "none", store / "current", "--to", tmp_path / "x")
    assert done.returncode == 66
    assert "no site rule none" in done.stderr
