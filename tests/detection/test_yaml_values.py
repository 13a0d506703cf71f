from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.detection.yaml_values import MAX_BYTES, Value, parse_yaml, read_yaml
from zeekml.errors import ConfigError


def entry(text: str) -> Value:
    return parse_yaml(f"a: {text}\n".encode(), "f.yaml").mapping(("a",))["a"]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: &x 1\nb: 2\n", 1, "anchors"),
        ("a: 1\nb: [&x 1, *x]\n", 2, "anchors"),
        ("a: &a [1,1]\nb: &b [*a,*a]\n", 1, "anchors"),
        ("a: 1\nb: !!python/object/apply:os.system [id]\n", 2, "tag"),
        ("a: !local 1\n", 1, "tag"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: 1\n b: 2\n", 2, "not valid YAML"),
        ("a: [1, 2\n", 2, "not valid YAML"),
        ("a: 1\nb: \x07\n", 2, "control character"),
        ("a:\n  " + "[" * 200 + "]" * 200, 2, "nested"),
        ("a: 1\nb: \x1b[31m{\n", 2, "control character"),
    ],
)
def test_only_plain_yaml(text: str, line: int, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text.encode(), "f.yaml")
    assert str(caught.value).startswith(f"f.yaml:{line}: ")
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(ConfigError, match=r"^f.yaml:2: is not UTF-8"):
        parse_yaml(b"a: 1\nb: \xff\n", "f.yaml")


def test_size_is_bounded() -> None:
    with pytest.raises(ConfigError, match="larger than"):
        parse_yaml(b"#" * (MAX_BYTES + 1), "f.yaml")


def test_nothing_in_it() -> None:
    with pytest.raises(ConfigError, match="is empty"):
        parse_yaml(b"# only a comment\n", "f.yaml")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_yaml(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_yaml(tmp_path)


def test_unknown_double_and_missing_keys() -> None:
    root = parse_yaml(b"window: 1\ntop: 2\nwindow: 3\n", "f.yaml")
    with pytest.raises(ConfigError, match=r"^f.yaml:3: key 'window' stands twice .*line 1"):
        root.mapping(("window", "top"))
    with pytest.raises(ConfigError, match=r"^f.yaml:1: .*did you mean 'windows'\?.*allowed: wind"):
        root.mapping(("windows", "top"))
    with pytest.raises(ConfigError, match=r"^f.yaml:2: a lacks the key 'c'"):
        parse_yaml(b"a:\n  b: 1\n", "f.yaml").mapping(("a",))["a"].mapping(("b", "c"))
    with pytest.raises(ConfigError, match="must be a mapping"):
        parse_yaml(b"- 1\n", "f.yaml").mapping(("a",))
    with pytest.raises(ConfigError, match="unknown key ''"):
        parse_yaml(b"[a, b]: 1\n", "f.yaml").mapping(("a",))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30.0), ("5m", 300.0), ("1h", 3600.0), ("90", 90.0), ("1.5m", 90.0), ("'5m'", 300.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert entry(text).duration(1, 86400) == seconds


@pytest.mark.parametrize(
    "text", ["5 m", "1d", "-5m", "", "1:30", "0", "1e99h", "25h", "[5m]", "٥m"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^f.yaml:1: a must be"):
        entry(text).duration(1, 86400)


@pytest.mark.parametrize(
    "text", ["0", "1", "1.5", "nan", ".inf", "0x1", "autos", "true", "1_0", ""]
)
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        entry(text).share()


def test_numbers_are_read_as_written() -> None:
    assert entry("1e-3").share() == 0.001
    assert entry(".5").share() == 0.5
    assert entry("010").integer(1, 20) == 10  # YAML 1.1 alone would make it 8
    assert entry("0.95").share(ends=True) == 0.95
    assert entry("true").flag() is True
    for text in ("yes", "on", "1", "True"):
        with pytest.raises(ConfigError, match="one of true, false"):
            entry(text).flag()
    for text in ("1.0", "-1", "21", "9999999999", "x"):
        with pytest.raises(ConfigError, match="whole number from 1 to 20"):
            entry(text).integer(1, 20)


def test_wrong_kinds() -> None:
    with pytest.raises(ConfigError, match="must be a list"):
        entry("1").sequence()
    with pytest.raises(ConfigError, match="single value"):
        entry("{b: 1}").text()


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        root = parse_yaml(data, "f.yaml")
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert root.line >= 1
