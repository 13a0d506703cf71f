"""Screens above the list: an incident in full, an allowlist entry for it, and the keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from zeekml.detection.allowlist import Scope
from zeekml.errors import ZeekmlError
from zeekml.triage.allowlist_entry import entry_for
from zeekml.triage.notice_reader import NoticeLine

HELP: Final = """\
Up Down PgUp PgDn Home End (j k g G)   move
Enter    open the incident: why, flows, lines so far, labels
/        filter: words, a severity (that or worse), a threat; empty shows all
c        show or hide incidents that are over
t  f     label the incident true, or a false alarm
s        silence: add an entry to the allowlist, after a question
?        this
Esc      back
q        quit

!!! critical   !! high   ! medium   . low
Column L: T labelled true, F labelled a false alarm
score: highest in the incident ± standard deviation of the ensemble's members"""


class TextScreen(ModalScreen[None]):
    """Text that scrolls; modal, so that the list's keys do nothing behind it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Back")]

    def __init__(self, read: Callable[[], Sequence[Text]], keys: str) -> None:
        super().__init__()
        self._read = read
        self._keys = keys

    def compose(self) -> ComposeResult:
        """Text above, keys below."""
        with VerticalScroll():
            yield Static(self._joined(), id="text", markup=False)
        yield Static(Text(self._keys), classes="status", markup=False)

    def bring_up_to_date(self) -> None:
        """Read the text again."""
        self.query_one("#text", Static).update(self._joined())

    def tell(self, message: str) -> None:
        """Show a message beside the keys."""
        self.query_one(".status", Static).update(Text(f"{message}   {self._keys}"))

    def _joined(self) -> Text:
        return Text("\n").join(self._read())


class IncidentScreen(TextScreen):
    """An incident in full; what is done here is done to it, whatever the list shows by now."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "app.label(True)", "True"),
        Binding("f", "app.label(False)", "False"),
        Binding("s", "app.suppress", "Silence"),
    ]

    def __init__(self, name: str, read: Callable[[], Sequence[Text]]) -> None:
        super().__init__(read, "t f label  s silence  Esc back")
        self.incident = name


class AllowlistScreen(ModalScreen[dict[str, Scope] | None]):
    """Asks why, who and how long, shows the entry, and asks whether to write it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("y", "confirm", "Write"),
        Binding("n", "cancel", "Cancel"),
    ]

    def __init__(self, line: NoticeLine, where: str, owner: str) -> None:
        super().__init__()
        self._line = line
        self._where = where
        self._owner = owner
        self._entry: dict[str, Scope] | None = None

    def compose(self) -> ComposeResult:
        """Three fields and a question."""
        with Vertical(id="dialog"):
            yield Static(Text(f"Silence: {self._line.msg}"), markup=False)
            yield Input(placeholder="reason: why this is no incident", id="reason")
            yield Input(self._owner, placeholder="owner: who says so", id="owner")
            yield Input("30d", placeholder="expiry: 2027-01-31, 30d or never", id="expiry")
            yield Static(Text("Enter goes on, Esc leaves all as it is"), id="ask", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the next field, or from the last to the question."""
        order = ("reason", "owner", "expiry")
        at = order.index(event.input.id or "")
        if at < 2:
            self.query_one(f"#{order[at + 1]}", Input).focus()
            return
        given = {name: self.query_one(f"#{name}", Input).value for name in order}
        ask = self.query_one("#ask", Static)
        try:
            self._entry = entry_for(self._line, **given)
        except ZeekmlError as error:
            ask.update(Text(f"!! {error}"))
            self.query_one("#reason", Input).focus()
            return
        entry = ", ".join(f"{key} {value}" for key, value in self._entry.items())
        ask.update(Text(f"{entry}\nAdd this to {self._where}? y/n"))
        for name in order:
            self.query_one(f"#{name}", Input).disabled = True
        self.set_focus(None)

    def action_confirm(self) -> None:
        """Hand the entry over."""
        if self._entry is not None:
            self.dismiss(self._entry)

    def action_cancel(self) -> None:
        """Leave all as it is."""
        self.dismiss(None)
