"""Outputs that are shorter at a start than at the last commit get back what is kept of them."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_lines import FORMS, HEALTH, NOTICE, notices

from zeekml.alerts.eve_alert import encode_alert
from zeekml.alerts.zeek_notice import TsvEncoder, encode_json, line_in_form
from zeekml.core.directory_lock import TakenError
from zeekml.detection.notice import Notice
from zeekml.live.outputs.append_file import AppendFile
from zeekml.live.outputs.live_outputs import LiveOutputs, Shortened
from zeekml.live.state.database import Mark
from zeekml.outputs import EVE_JSON, NOTICE_LOG, REJECTS, OutputOptions


class Kept:
    """What a state keeps, of the latest lines."""

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.lines: dict[str, bytes] = {}
        self.alerts: dict[str, bytes] = {}

    def take(self, made: list[Notice]) -> None:
        for notice in made:
            self.lines[f"{notice.id}/{notice.seq}"] = encode_json(notice)
            if notice.seq == 0:
                self.alerts[f"{notice.id}/0"] = encode_alert(notice)
        for kept in (self.lines, self.alerts):
            for key in list(kept)[: -self.most]:
                del kept[key]

    def by_name(self) -> dict[str, Callable[[], Mapping[str, bytes]]]:
        return {NOTICE_LOG: lambda: self.lines, EVE_JSON: lambda: self.alerts}


class Watch:
    """A watcher's outputs, commit after commit."""

    def __init__(self, out: Path, options: OutputOptions | None = None, most: int = 1000) -> None:
        self.out = out
        self.options = options or OutputOptions()
        self.kept = Kept(most)
        self.marks: dict[str, Mark] = {}
        self.number = 0
        self.start()

    def start(self) -> list[Shortened]:
        self.outputs = LiveOutputs(
            self.out, self.options, self.marks, lambda _: [], lambda: 0.0, self.kept.by_name()
        )
        self.commit()
        return self.outputs.shortened

    def commit(self) -> None:
        self.outputs.flush()
        self.marks = self.outputs.marks
        self.outputs.committed()

    def write(self, count: int) -> None:
        """So many incidents, each opened and closed at once."""
        made = []
        for _ in range(count):
            self.number += 1
            made += notices((self.number, 0), (self.number, 1))
        self.outputs.add_notices(made)
        self.outputs.flush()
        self.kept.take(made)
        self.commit()

    def stop(self) -> None:
        self.outputs.close()

    def found(self, name: str = NOTICE_LOG) -> list[bytes]:
        """The lines of an output and of all that was rotated from it, oldest first."""
        lines: list[bytes] = []
        for path in sorted(self.out.glob(f"{name}*"), reverse=True):
            data = path.read_bytes()
            lines += (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()
        return [line for line in lines if not line.startswith(b"#")]


def cut(path: Path, keep: float) -> None:
    os.truncate(path, int(path.stat().st_size * keep))


def older_copy(path: Path, keep: float) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    header = sum(line.startswith(b"#") for line in lines)
    path.unlink()
    path.with_suffix(".hold").touch()  # so that the inode is not used again
    path.write_bytes(b"".join(lines[: max(int(len(lines) * keep), header + 1)]))


@pytest.mark.parametrize("harm", [cut, older_copy])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize(("form", "strict"), FORMS)
def test_lines_that_are_missing_are_there_again(
    tmp_path: Path, harm: Callable[[Path, float], None], keep: float, form: str, strict: bool
) -> None:
    watch = Watch(tmp_path, OutputOptions(notice_format=form, strict_notice=strict))
    watch.write(5)
    watch.write(7)
    watch.stop()
    before = {name: watch.found(name) for name in (NOTICE_LOG, EVE_JSON)}
    assert len(before[NOTICE_LOG]) == 24
    for name in before:
        harm(tmp_path / name, keep)
    told = watch.start()
    assert [s.name for s in told] == [NOTICE_LOG, EVE_JSON]
    assert all(s.lines > 0 and s.size == 0 for s in told)
    assert {name: watch.found(name) for name in before} == before
    # and what comes then comes after it, once
    watch.write(1)
    watch.stop()
    assert watch.start() == []
    assert watch.found()[:24] == before[NOTICE_LOG]
    assert len(watch.found()) == 26
    # once more, of the file that was mended
    watch.stop()
    after = watch.found()
    cut(tmp_path / NOTICE_LOG, 0.05)
    watch.start()
    watch.stop()
    assert watch.found() == after


def rename(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.1"))


def rename_and_make(path: Path) -> None:
    rename(path)
    path.touch()


def compress(path: Path) -> None:
    packed = path.with_name(f"{path.name}.1.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    shutil.copystat(path, packed)
    path.with_suffix(".hold").touch()
    path.unlink()
    path.touch()


def copy_and_empty(path: Path) -> None:
    shutil.copy2(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)


@pytest.mark.parametrize(
    "harm",
    [rename, rename_and_make, compress, copy_and_empty, Path.unlink],
    ids=lambda h: h.__name__,
)
def test_rotated_or_removed_is_not_cut(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    watch = Watch(tmp_path)
    watch.write(3)
    watch.outputs.rejects.add("conn.log", 7, "bad_value", b"")
    watch.commit()
    watch.stop()
    before = watch.found()
    for name in (NOTICE_LOG, EVE_JSON, REJECTS):
        harm(tmp_path / name)
    assert watch.start() == []
    watch.stop()
    assert watch.found() == ([] if harm is Path.unlink else before)


def test_only_lines_of_the_file_itself_come_back(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.write(4)
    (tmp_path / NOTICE_LOG).rename(tmp_path / "archived")
    watch.write(3)
    watch.stop()
    before = watch.found()
    assert len(before) == 6
    cut(tmp_path / NOTICE_LOG, 0.3)
    (told,) = watch.start()
    watch.stop()
    assert watch.found() == before
    assert told.lines == 5


def test_an_older_copy_from_before_a_rotation(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.write(2)
    backup = (tmp_path / NOTICE_LOG).read_bytes()
    watch.write(2)
    rename(tmp_path / NOTICE_LOG)
    watch.write(3)
    watch.stop()
    before = watch.found()
    (tmp_path / NOTICE_LOG).write_bytes(backup)
    watch.start()
    watch.stop()
    assert sorted(set(watch.found())) == sorted(before)


def test_what_is_not_kept_is_told_in_numbers(tmp_path: Path) -> None:
    watch = Watch(tmp_path, most=4)
    watch.write(10)
    watch.outputs.add_health([HEALTH])
    for line in range(5):
        watch.outputs.rejects.add("conn.log", line, "bad_value", b"x" * 50)
    watch.commit()
    watch.stop()
    sizes = {name: (tmp_path / name).stat().st_size for name in (NOTICE_LOG, REJECTS)}
    cut(tmp_path / NOTICE_LOG, 0.0)
    cut(tmp_path / REJECTS, 0.5)
    told = {s.name: s for s in watch.start()}
    watch.stop()
    assert len(watch.found()) == 4
    assert told[NOTICE_LOG].lines == 4
    assert told[NOTICE_LOG].size == sizes[NOTICE_LOG] - (tmp_path / NOTICE_LOG).stat().st_size
    # what was left of a line went, too
    assert told[REJECTS] == Shortened(REJECTS, 0, sizes[REJECTS] * 3 // 5)


def test_a_crash_right_after_they_came_back(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.write(6)
    watch.stop()
    before = watch.found()
    marks = watch.marks
    cut(tmp_path / NOTICE_LOG, 0.4)
    watch.start()
    watch.stop()
    watch.marks = marks
    watch.start()
    watch.stop()
    assert watch.found() == before


def test_marks_of_an_older_version(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.write(6)
    watch.stop()
    before = watch.found()
    watch.marks = {name: replace(mark, first="") for name, mark in watch.marks.items()}
    cut(tmp_path / NOTICE_LOG, 0.4)
    (told,) = watch.start()
    watch.stop()
    assert told.lines == 8
    assert watch.found() == before


def test_lines_found_after_a_crash_count_as_the_files_own(tmp_path: Path) -> None:
    path = tmp_path / "notice.log"
    kept: dict[str, bytes] = {}

    def opened(mark: Mark | None) -> AppendFile:
        return AppendFile(path, mark, lambda line: line[:1].decode(), kept=lambda: kept)

    file = opened(None)
    mark = file.mark
    file.add("a", b"a line\n", kept=True)
    file.flush()
    file.close()
    file = opened(mark)
    assert not file.add("a", b"a line\n", kept=True)
    file.add("b", b"b line\n", kept=True)
    file.flush()
    kept |= {"z": b"z of a file before\n", "a": b"a line\n", "b": b"b line\n"}
    assert file.mark.first == "a"
    mark = file.mark
    file.close()
    os.truncate(path, 0)
    opened(mark).close()
    assert path.read_bytes() == b"a line\nb line\n"


@pytest.mark.parametrize(("form", "strict"), FORMS)
@given(
    text=st.text(max_size=20) | st.sampled_from(["-", "(empty)", "a\tb,c\\", "\ud800"]),
    number=st.none() | st.integers(0, 2**40),
    score=st.floats(0, 1),
    ts=st.floats(0, 2e9),
)
@settings(max_examples=60, derandomize=True)
def test_a_kept_line_in_another_form(
    form: str, strict: bool, text: str, number: int | None, score: float, ts: float
) -> None:
    notice = replace(
        NOTICE,
        flow=replace(NOTICE.flow, uid=text, service=text, orig_p=None),
        msg=text,
        sub=text,
        why=(text, ""),
        signatures=(),
        p=number,
        sent_bytes=number,
        score=score,
        spread=None if number is None else score,
        ts=ts,
        first_ts=ts,
    )
    tsv = TsvEncoder(0.0, strict) if form == "tsv" else None
    expected = encode_json(notice, strict) if tsv is None else tsv.encode(notice)
    assert line_in_form(encode_json(notice), tsv, strict=strict) == expected


def test_one_watch_at_a_time(tmp_path: Path) -> None:
    def opened() -> LiveOutputs:
        return LiveOutputs(tmp_path / "out", OutputOptions(), {}, lambda _: [], lambda: 0.0)

    first = opened()
    with pytest.raises(TakenError, match="another zeekml writes to this directory"):
        opened()
    # through rotations, and through a directory that is removed and made again
    rename(tmp_path / "out" / NOTICE_LOG)
    first.flush()
    shutil.rmtree(tmp_path / "out")
    first.flush()
    with pytest.raises(TakenError):
        opened()
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(first.marks)
    (tmp_path / "out").rename(tmp_path / "away")
    second = opened()
    with pytest.raises(TakenError):
        first.flush()
    first.close()
    second.close()
    opened().close()


def test_an_alert_line_is_json(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.write(2)
    watch.stop()
    cut(tmp_path / EVE_JSON, 0.6)
    watch.start()
    watch.stop()
    ids = [json.loads(line)["alert"]["metadata"]["zeekml_id"] for line in watch.found(EVE_JSON)]
    assert ids == [[f"{1:024x}"], [f"{2:024x}"]]
