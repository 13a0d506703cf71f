"""Files in further forms hold what notice.log holds, each line once, whatever happens to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_lines import HEALTH, notices

from zeekml.alerts.also import AlsoFile
from zeekml.alerts.formats import FORMATS, encode_in_form, key_in_form
from zeekml.alerts.health_notice import first_notice
from zeekml.alerts.zeek_notice import encode_json
from zeekml.core.directory_lock import TakenError
from zeekml.detection.notice import Notice
from zeekml.live.outputs.live_outputs import LiveOutputs
from zeekml.live.state.database import Mark
from zeekml.outputs import NOTICE_LOG, OutputOptions

FORMS = tuple(FORMATS)


class AlsoWatch:
    """A watcher's outputs with a file in each form, commit after commit."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.also = {form: AlsoFile(form, base / "siem" / f"{form}.log") for form in FORMS}
        self.options = OutputOptions(notice_format="tsv", also=tuple(self.also.values()))
        self.kept: dict[str, bytes] = {}
        self.marks: Mapping[str, Mark] = MappingProxyType({})
        self.made: list[Notice] = []
        self.start()

    def _opening(self, name: str) -> list[bytes]:
        first = first_notice(0.0, "writes here", {}, sensor="office")
        return [encode_in_form(name.partition(":")[0], first)] if ":" in name else []

    def start(self) -> None:
        kept = {NOTICE_LOG: lambda: self.kept}
        self.outputs = LiveOutputs(
            self.base / "out", self.options, self.marks, self._opening, lambda: 0.0, kept
        )
        self.commit([])

    def make(self, count: int) -> list[Notice]:
        begin = len(self.made)
        new = notices(*((begin + n, 0) for n in range(count)))
        self.made += new
        return new

    def commit(self, new: list[Notice]) -> None:
        self.outputs.add_notices(new)
        self.outputs.flush()
        self.kept |= {f"{n.id}/{n.seq}": encode_json(n) for n in new}
        self.marks = self.outputs.marks
        self.outputs.committed()

    def lines(self, form: str) -> list[bytes]:
        paths = sorted(self.also[form].path.parent.glob(f"{form}.log*"), reverse=True)
        return [line for p in paths for line in p.read_bytes().splitlines(keepends=True)]

    def check(self) -> None:
        for form in FORMS:
            told = [line for line in self.lines(form) if b"Sensor_Health" not in line]
            assert told == [encode_in_form(form, notice) for notice in self.made], form


def test_they_begin_with_a_notice_about_health(tmp_path: Path) -> None:
    watch = AlsoWatch(tmp_path)
    watch.commit(watch.make(2))
    watch.outputs.add_health([HEALTH])
    watch.commit([])
    for form in FORMS:
        first, *told, health = watch.lines(form)
        assert b"ZeekML::Sensor_Health" in first
        assert len(first) > 1024
        assert len(told) == 2
        assert health == encode_in_form(form, HEALTH)
        assert watch.also[form].path.stat().st_mode & 0o777 == 0o640


@given(data=st.data())
@settings(max_examples=15, derandomize=True, deadline=None)
def test_each_line_once_through_crashes_and_rotations(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    watch = AlsoWatch(tmp_path_factory.mktemp("watch"))
    rotated = 0
    for step in data.draw(st.lists(st.sampled_from(["commit", "crash", "rotate"]), max_size=8)):
        new = watch.make(data.draw(st.integers(0, 3)))
        if step == "crash":
            # written and not committed: the next watch makes them again
            watch.outputs.add_notices(new)
            for name in data.draw(st.sets(st.sampled_from(sorted(watch.outputs.marks)))):
                watch.outputs._files[name].flush()
            watch.outputs.close()
            watch.start()
        elif step == "rotate":
            rotated += 1
            for also in watch.also.values():
                also.path.rename(also.path.with_name(f"{also.path.name}.{100 - rotated}"))
        watch.commit(new)
    watch.check()
    watch.outputs.close()


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_what_was_cut_is_written_again(tmp_path: Path, keep: float) -> None:
    watch = AlsoWatch(tmp_path)
    watch.commit(watch.make(4))
    watch.commit(watch.make(3))
    watch.outputs.close()
    for also in watch.also.values():
        os.truncate(also.path, int(also.path.stat().st_size * keep))
    watch.start()
    assert {s.name for s in watch.outputs.shortened} == {a.name for a in watch.also.values()}
    assert all(s.lines > 0 for s in watch.outputs.shortened)
    watch.check()


def test_a_form_that_is_asked_for_later_begins_then(tmp_path: Path) -> None:
    watch = AlsoWatch(tmp_path)
    watch.commit(watch.make(2))
    watch.outputs.close()
    asked = AlsoFile("ecs", tmp_path / "later.json")
    watch.options = replace(watch.options, also=(*watch.options.also, asked))
    watch.start()
    watch.commit(watch.make(1))
    first, told = asked.path.read_bytes().splitlines(keepends=True)
    assert b"Sensor_Health" in first
    assert key_in_form("ecs", told) == f"{watch.made[-1].id}/0"
    watch.check()


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.rename(path.with_suffix(".1"))])
def test_one_watch_at_a_time_writes_to_a_file(
    tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    first = AlsoWatch(tmp_path)
    options = replace(first.options, also=(first.also["cef"],))

    def another() -> LiveOutputs:
        return LiveOutputs(tmp_path / "other", options, {}, lambda _: [], lambda: 0.0)

    with pytest.raises(TakenError, match="another zeekml writes to this file"):
        another()
    harm(first.also["cef"].path)
    first.commit(first.make(1))
    with pytest.raises(TakenError):
        another()
    first.outputs.close()
    another().close()


def test_lines_of_one_form_are_nothing_in_another(tmp_path: Path) -> None:
    watch = AlsoWatch(tmp_path)
    watch.commit(watch.make(1))
    for form in FORMS:
        for line in watch.lines(form):
            assert [other for other in FORMS if key_in_form(other, line)] == [form]
    watch.outputs.close()
