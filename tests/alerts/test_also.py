"""Where files in further forms may lie, and where not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from made_up_lines import NOTICE

from zeekml.alerts.also import AlsoFile, check_also, lock_alone, read_also
from zeekml.alerts.formats import FORMATS, encode_in_form
from zeekml.core.directory_lock import TakenError
from zeekml.errors import OutputError


def test_what_the_option_says() -> None:
    also = read_also("cef:/var/log/zeekml/a:b.cef")
    assert also == AlsoFile("cef", Path("/var/log/zeekml/a:b.cef"))
    assert also.name == "cef:/var/log/zeekml/a:b.cef"


@pytest.mark.parametrize("text", ["", "ocsf", "ocsf:", "xml:file", "OCSF:file", ":file", "cef:a\0"])
def test_wrong_usage_names_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="formats: cef, ecs, notice, ocsf"):
        read_also(text)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A sensor's log."""
    path = tmp_path / "sensor" / "conn.log"
    path.parent.mkdir()
    path.write_text("#fields\tts\n")
    return path


def check(
    tmp_path: Path, logs: Path, *texts: str, appends: bool = True, kept_from: tuple[Path, ...] = ()
) -> None:
    out = tmp_path / "out"
    check_also(
        [read_also(text) for text in texts],
        logs=[logs],
        taken=[out / "notice.log", out / "eve.json"],
        kept_from=kept_from,
        appends=appends,
    )


@pytest.mark.parametrize("appends", [True, False])
def test_files_that_may_be_written(tmp_path: Path, logs: Path, appends: bool) -> None:
    out = tmp_path / "out"
    check(
        tmp_path,
        logs,
        f"ocsf:{out}/notice.ocsf.json",
        f"ecs:{out}/notice.ecs.json",
        f"notice:{out}/zeekml.json",
        f"cef:{tmp_path}/new/deep/x.cef",
        appends=appends,
    )
    assert not (tmp_path / "new").exists()
    assert not out.exists()


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["ocsf:{}/sensor/conn.log"], "is read as a log"),
        (["ocsf:{}/sensor/link.log"], "is read as a log"),
        (["ocsf:{}/sensor/x.json"], "logs are read from this directory"),
        (["ocsf:{}/out/eve.json"], "zeekml writes its eve.json there"),
        (["ocsf:{}/x.json", "ecs:{}/y/../x.json"], "is named twice"),
        (["notice:{}/out/notice.log.json"], "rotated files could not be told"),
        (["notice:{}/out/not"], "rotated files could not be told"),
        (["cef:{}/siem.cef", "cef:{}/siem.cef.2"], "could not be told from those of siem.cef"),
        (["ocsf:{}/state/x.json"], "state is not for outputs"),
        (["ocsf:{}/sensor"], "is no regular file"),
        (["ocsf:{}/pipe"], "is no regular file"),
        (["ocsf:{}/sensor/conn.log/x/y"], "Not a directory"),
    ],
)
@pytest.mark.parametrize("appends", [True, False])
def test_files_that_are_refused(
    tmp_path: Path, logs: Path, texts: list[str], why: str, appends: bool
) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.link(logs, tmp_path / "sensor" / "link.log")
    given = [text.format(tmp_path) for text in texts]
    state = (tmp_path / "state",)
    with pytest.raises(OutputError, match=why) as told:
        check(tmp_path, logs, *given, appends=appends, kept_from=state)
    assert "choose another file for --also" in str(told.value)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("there", FORMATS)
def test_only_notices_are_replaced_and_only_the_same_form_is_gone_on_with(
    tmp_path: Path, logs: Path, form: str, there: str
) -> None:
    path = tmp_path / "siem"
    path.write_bytes(encode_in_form(there, NOTICE))
    check(tmp_path, logs, f"{form}:{path}", appends=False)
    if form == there:
        check(tmp_path, logs, f"{form}:{path}")
    else:
        with pytest.raises(OutputError, match="does not hold notices in the form"):
            check(tmp_path, logs, f"{form}:{path}")


@pytest.mark.parametrize("appends", [True, False])
def test_a_slip_of_the_keyboard_costs_no_file(tmp_path: Path, logs: Path, appends: bool) -> None:
    path = tmp_path / "thesis.tex"
    path.write_text("\\documentclass{book}\n")
    with pytest.raises(OutputError, match="is there and does not hold notices"):
        check(tmp_path, logs, f"ocsf:{path}", appends=appends)
    # an empty one, and the half line that a crash may leave, are nobody's
    for text in ("", '{"metadata":{"ui'):
        path.write_text(text)
        check(tmp_path, logs, f"ocsf:{path}", appends=appends)


def test_what_a_watch_appends_to_is_not_replaced(tmp_path: Path, logs: Path) -> None:
    path = tmp_path / "siem"
    with path.open("wb") as file:
        file.write(encode_in_form("ocsf", NOTICE))
        file.flush()
        lock_alone(file.fileno(), path)
        with pytest.raises(TakenError, match="another zeekml writes to this file"):
            check(tmp_path, logs, f"ocsf:{path}", appends=False)
    check(tmp_path, logs, f"ocsf:{path}", appends=False)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_one_long_line_is_gone_on_with_only_if_it_is_the_beginning_of_ours(
    tmp_path: Path, logs: Path, form: str
) -> None:
    path = tmp_path / "file"
    line = encode_in_form(form, NOTICE)
    for size in (0, 1, 12, 60, len(line) - 1):
        path.write_bytes(line[:size])
        check(tmp_path, logs, f"{form}:{path}")
    for foreign in (b"x", b'{"k":' + b"[" * 4000, b"CEF:0|other|", b"\0" * 5000):
        path.write_bytes(foreign)
        with pytest.raises(OutputError, match="does not hold notices"):
            check(tmp_path, logs, f"{form}:{path}")
        assert path.read_bytes() == foreign
