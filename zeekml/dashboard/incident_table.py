"""The list of incidents: only the rows in sight are ever drawn, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from zeekml.dashboard.panes import one_line
from zeekml.triage.incident_list import Tracked
from zeekml.triage.source import Source

_CURSOR = Style(reverse=True)


class IncidentTable(ScrollView, can_focus=True):
    """Rows of incidents with a cursor, which stays on its incident when others come and go."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(0)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("enter", "open", "Open", show=False),
    ]

    class Moved(Message):
        """The cursor is on another incident, or what it is on has changed."""

    class IncidentChosen(Message):
        """The incident under the cursor is to be shown."""

    def __init__(self, source: Source, id: str) -> None:
        super().__init__(id=id)
        self._source = source
        self._rows: Sequence[Tracked] = ()
        self._cursor = 0

    @property
    def current(self) -> Tracked | None:
        """The incident under the cursor."""
        return self._rows[self._cursor] if self._rows else None

    def show_incidents(self, rows: Sequence[Tracked]) -> None:
        """Show these rows from now on."""
        held = self.current
        self._rows = rows
        self._cursor = min(self._cursor, max(len(rows) - 1, 0))
        if held is not None and rows and rows[self._cursor].latest.id != held.latest.id:
            places = (at for at, row in enumerate(rows) if row.latest.id == held.latest.id)
            self._cursor = next(places, self._cursor)
        self.virtual_size = Size(self.size.width, len(rows))
        self._keep_in_sight()
        self.refresh()
        self.post_message(self.Moved())

    def render_line(self, y: int) -> Strip:
        """Draw a row that is in sight."""
        width = self.size.width
        at = self.scroll_offset.y + y
        if at >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        incident = self._rows[at]
        text = one_line(incident, self._source)
        text.truncate(width, overflow="ellipsis")
        text.end = ""
        strip = Strip(text.render(self.app.console)).adjust_cell_length(width)
        return strip.apply_style(_CURSOR if at == self._cursor else self.rich_style)

    def action_move(self, rows: int) -> None:
        """Move the cursor by so many rows."""
        self._go(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by so many screens."""
        self._go(self._cursor + pages * max(self.size.height - 1, 1))

    def action_edge(self, last: int) -> None:
        """Move the cursor to the first row, or the last."""
        self._go(len(self._rows) - 1 if last else 0)

    def action_open(self) -> None:
        """Ask for the incident under the cursor to be shown."""
        if self._rows:
            self.post_message(self.IncidentChosen())

    def on_resize(self) -> None:
        """Another width, and other rows in sight."""
        self.virtual_size = Size(self.size.width, len(self._rows))
        self._keep_in_sight()

    def _go(self, row: int) -> None:
        self._cursor = min(max(row, 0), max(len(self._rows) - 1, 0))
        self._keep_in_sight()
        self.refresh()
        self.post_message(self.Moved())

    def _keep_in_sight(self) -> None:
        self.scroll_to_region(Region(0, self._cursor, 1, 1), animate=False)
