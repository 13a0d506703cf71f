"""YAML as rule files may use it: plain values with their line numbers, and nothing clever.

Rules decide what a sensor reports, so a rule file must say what it means in one place: no
anchors, no tags, no key twice, no second document. Nothing is constructed from the text but the
types here; nodes are never turned into Python objects by the YAML library.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NoReturn

import yaml

from zeekml.core.text import printable
from zeekml.errors import ConfigError

MAX_BYTES: Final = 256 * 1024
_MAX_DEPTH: Final = 16
_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp")
)
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER: Final = re.compile(r"\d{1,9}", re.ASCII)
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smh]?)", re.ASCII)
_SECONDS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Value:
    """A node of a rule file that knows where it stands and what it is called.

    Every reading method raises ConfigError, with file, line and remedy, for what it cannot take.
    """

    __slots__ = ("_node", "file", "path")

    def __init__(self, node: yaml.Node, file: str, path: str) -> None:
        self._node = node
        self.file = file
        self.path = path

    @property
    def line(self) -> int:
        """1-based line of the value in its file."""
        return self._node.start_mark.line + 1

    @property
    def absent(self) -> bool:
        """Whether nothing, or null, stands there."""
        return self._node.tag == "tag:yaml.org,2002:null"

    def fail(self, problem: str) -> NoReturn:
        """Refuse this value; `problem` says what is wrong and what would be right."""
        raise _error(self.file, self.line, f"{self.path} {problem}" if self.path else problem)

    def refuse(self, wanted: str, text: str) -> NoReturn:
        """Refuse what stands here for not being what it must be."""
        self.fail(f"must be {wanted}, not '{printable(text, 60)}'")

    def mapping(
        self, required: Collection[str], optional: Collection[str] = (), *, listed: str = ""
    ) -> dict[str, Value]:
        """The entries of a mapping that has all `required` keys and at most `optional` others.

        `listed` is where to find the allowed keys if they are too many to name here.
        """
        allowed = [*required, *optional]
        told = f"see {listed}" if listed else f"allowed: {', '.join(allowed)}"
        if not isinstance(self._node, yaml.MappingNode):
            keys = f"keys of {listed}" if listed else f"the keys {', '.join(required)}"
            self.fail(f"must be a mapping with {keys}")
        entries: dict[str, Value] = {}
        for key_node, value_node in self._node.value:
            key = Value(key_node, self.file, "")
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
            where = f"in {self.path}" if self.path else "at the top level"
            if name not in allowed:
                close = difflib.get_close_matches(name[:64], allowed, n=1)
                hint = f"did you mean '{close[0]}'? " if close else ""
                unknown = f"unknown key '{printable(name, 60)}' {where}"
                key.fail(f"{unknown}; {hint}{told}")
            if name in entries:
                first = f"(first in line {entries[name].line})"
                key.fail(f"key '{name}' stands twice {where} {first}; remove one")
            path = f"{self.path}.{name}" if self.path else name
            entries[name] = Value(value_node, self.file, path)
        missing = [name for name in required if name not in entries]
        if missing:
            self.fail(f"lacks the key '{missing[0]}'; add it")
        return entries

    def sequence(self) -> list[Value]:
        """The items of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            self.fail("must be a list, such as [a, b]")
        listed = enumerate(self._node.value)
        return [Value(item, self.file, f"{self.path}[{number}]") for number, item in listed]

    def items(self) -> list[Value]:
        """The items of a list; a single value is a list of one."""
        return self.sequence() if isinstance(self._node, yaml.SequenceNode) else [self]

    def text(self) -> str:
        """A scalar as it is written."""
        if not isinstance(self._node, yaml.ScalarNode):
            self.fail("must be a single value")
        return str(self._node.value)

    def choice(self, allowed: Collection[str]) -> str:
        """One of the `allowed` words."""
        text = self.text()
        if text not in allowed:
            self.refuse(f"one of {', '.join(allowed)}", text)
        return text

    def matching(self, pattern: re.Pattern[str], example: str) -> str:
        """Text that `pattern` matches from end to end."""
        text = self.text()
        if not pattern.fullmatch(text):
            self.fail(f"must look like {example}, not '{printable(text, 60)}'")
        return text

    def flag(self) -> bool:
        """true or false."""
        return self.choice(("true", "false")) == "true"

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        text = self.text()
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            self.refuse(f"a whole number from {low} to {high}", text)
        return int(text)

    def share(self, *, ends: bool = False, auto: bool = True) -> float:
        """A number between 0 and 1, with or without these two.

        Without them, ``auto`` was another thing to write, unless that is said not to be so.
        """
        text = self.text()
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not (0.0 <= number <= 1.0 if ends else 0.0 < number < 1.0):
            wanted = "a number from 0 to 1" if ends else "a number between 0 and 1"
            wanted = f"'auto' or {wanted}" if auto and not ends else wanted
            self.refuse(wanted, text)
        return number

    def duration(self, low: float, high: float) -> float:
        """Seconds, from a duration such as 30s, 5m, 1h, or a number of seconds."""
        text = self.text()
        match = _DURATION.fullmatch(text)
        seconds = float(match[1]) * _SECONDS[match[2]] if match else math.nan
        if not low <= seconds <= high:
            span = f"from {low:g} to {high:g} seconds"
            self.refuse(f"a duration such as 30s, 5m or 1h, {span}", text)
        return seconds


def read_yaml(path: Path) -> Value:
    """Read a rule file."""
    name = printable(str(path), 300)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{name}: cannot read the rules ({error.strerror}); check the path given with --rules"
        ) from error
    return parse_yaml(text, name)


def parse_yaml(text: bytes, name: str, *, most: int = MAX_BYTES) -> Value:
    """The root of a rule file's tree."""
    if len(text) > most:
        raise ConfigError(f"{name}: larger than {most:,} bytes; a rule file is a few kilobytes")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise _error(name, line, "is not UTF-8; save the file as UTF-8") from error
    try:
        # events come without recursion, so that depth is known before anything recurses
        for problem, line in _problems(decoded):
            raise _error(name, line, problem)
        root = yaml.compose(decoded, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise _error(name, line, f"is not valid YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = decoded.count("\n", 0, error.position) + 1
        raise _error(name, line, "holds a control character; remove it") from error
    if root is None:
        raise ConfigError(f"{name}: is empty; start from the rules that come with zeekml")
    return Value(root, name, "")


def _problems(text: str) -> Iterator[tuple[str, int]]:
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            yield "anchors (&) and aliases (*) are not allowed; write the value out", line
        tag = getattr(event, "tag", None)
        if tag and tag not in _PLAIN_TAGS:
            yield f"the tag '{printable(str(tag), 60)}' is not allowed; remove it", line
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                yield "a second document starts here; a rule file holds one", line
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                yield f"is nested deeper than {_MAX_DEPTH} levels; no rule needs that", line
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _error(file: str, line: int, problem: str) -> ConfigError:
    return ConfigError(f"{file}:{line}: {problem}")
