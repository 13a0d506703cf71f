"""A notice on its way to a sink, and what is said when it did not get there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from zeekml.alerts.formats import FORMATS
from zeekml.core.text import printable

_TOLD: int = 300


class DeliveryError(Exception):
    """A notice was not taken; `told` says why, in plain text without secrets.

    What is `permanent` is not tried again. `retry_after` is after how many seconds the receiver
    wants to be asked again, if it said so.
    """

    def __init__(
        self, told: str, *, permanent: bool = False, retry_after: float | None = None
    ) -> None:
        self.told = printable(told, _TOLD)
        super().__init__(self.told)
        self.permanent, self.retry_after = permanent, retry_after


@dataclass(frozen=True, slots=True)
class Message:
    """A notice for one sink. Its key and its body are the same however often it is sent."""

    id: str
    seq: int
    values: Mapping[str, Any]  # of its line of notice.log
    body: bytes  # one line in the sink's form

    @classmethod
    def of(cls, line: bytes, form: str) -> Self:
        """The message that a line of notice.log in JSON with all columns makes."""
        try:
            values = json.loads(line)
            body = FORMATS[form](values).replace(b"\r", b" ").replace(b"\n", b" ")
            name, seq = str(values["zeekml_id"]), int(values["zeekml_seq"])
        except Exception as error:
            # whatever one notice is the matter with, those behind it are to get through
            what = f"the notice cannot be put into the form {form}: {type(error).__name__}"
            raise DeliveryError(what, permanent=True) from error
        return cls(re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64], seq, values, body)

    @property
    def key(self) -> str:
        """By which a receiver knows it again."""
        return f"{self.id}/{self.seq}"


class Sink(Protocol):
    """Where messages go, one after the other."""

    target: str  # for people, without secrets

    def send(self, message: Message) -> str:
        """Deliver it and tell what the receiver said, or raise a `DeliveryError`."""
        ...

    def close(self) -> None:
        """Give everything back, and end a delivery that another thread has under way."""
        ...
