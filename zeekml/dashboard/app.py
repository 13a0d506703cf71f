"""The dashboard on a terminal. What it shows of a log went through `triage.notice_reader`."""

from __future__ import annotations

import asyncio
import getpass
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Static

from zeekml.core.atomic_write import as_output_error
from zeekml.core.text import printable
from zeekml.dashboard import panes
from zeekml.dashboard.incident_table import IncidentTable
from zeekml.dashboard.panes import count_rows
from zeekml.dashboard.screens import HELP, AllowlistScreen, IncidentScreen, TextScreen
from zeekml.detection.allowlist import Scope, allowlist_path, append_entry
from zeekml.detection.policy import Policy
from zeekml.errors import ZeekmlError
from zeekml.triage.incident_list import Tracked, parse_filter, tactics, totals
from zeekml.triage.labels import Label, Labels, label_incident
from zeekml.triage.source import Source

POLL: Final = 0.5  # seconds between looks at the source
_FONT_FACE: Final = re.compile(r"@font-face\s*\{[^}]*\}\s*|<!--.*?-->\s*", re.DOTALL)
# seconds in which a key is not taken for an incident that has just come under the cursor
JUST_NOW: Final = 1.5
SCREENSHOT_SIZE: Final = (120, 36)

_WIDE: Final = 110  # columns from which sources and targets have a pane each
_PANE_ROWS: Final = 5
_KEYS: Final = "Enter open  / filter  t f label  s silence  c over  ? help  q quit"


class DashboardApp(App[None]):
    """The dashboard; `rules` is where the allowlist is, None if entries may be written nowhere."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "zeekml"
    CSS = """
    Screen { layout: vertical; }
    #health { height: auto; max-height: 6; text-style: bold; }
    #heading { height: 1; text-style: underline; }
    IncidentTable { height: 1fr; min-height: 4; scrollbar-size-vertical: 1;
        overflow-x: hidden; overflow-y: auto; }
    #why { height: 2; }
    #panes { height: 6; }
    #panes Static { width: 1fr; padding: 0 1 0 0; }
    #panes #time { width: 2fr; }
    #targets { display: none; }
    .wide #targets { display: block; }
    .status { height: 1; text-style: reverse; dock: bottom; }
    #filter { dock: bottom; height: 1; border: none; padding: 0; display: none; }
    #filter.asked { display: block; }
    TextScreen { background: $background; }
    AllowlistScreen { align: center middle; }
    #dialog { width: 90%; max-width: 100; height: auto; border: solid $primary; padding: 0 1; }
    #dialog Input { border: none; height: 1; margin: 1 0 0 0; padding: 0; }
    #ask { margin: 1 0 0 0; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("slash", "ask_filter", "Filter"),
        Binding("c", "toggle_closed", "Over"),
        Binding("t", "label(True)", "True"),
        Binding("f", "label(False)", "False"),
        Binding("s", "suppress", "Silence"),
        Binding("question_mark", "help", "Help"),
        Binding("escape", "leave_filter", "Back", show=False),
    ]

    def __init__(self, source: Source, policy: Policy | None, rules: Path | None) -> None:
        super().__init__()
        self.source, self._policy, self._rules = source, policy, rules
        self._typed = ""
        # a run that is over has closed all its incidents
        self._shows_closed = not source.live
        self._message = ""
        self._shifted = -JUST_NOW

    def compose(self) -> ComposeResult:
        """Health, incidents, reasons, panes, keys; from top to bottom."""
        yield Static(id="health", markup=False)
        yield Static(Text(panes.ONE_LINE_HEADING, no_wrap=True), id="heading", markup=False)
        yield IncidentTable(self.source, id="incidents")
        yield Static(id="why", markup=False)
        with Horizontal(id="panes"):
            for name in ("time", "sources", "targets", "tactics"):
                yield Static(id=name, markup=False)
        yield Static(id="keys", classes="status", markup=False)
        yield Input(id="filter", placeholder="filter: words, severity, threat")

    def on_mount(self) -> None:
        """Show what is there, and look again from now on."""
        self._table.focus()
        self.call_after_refresh(self._show)
        self.set_interval(POLL, self._poll)

    def on_resize(self) -> None:
        """Lay the panes out for the new size."""
        self.call_after_refresh(self._show)

    @property
    def _table(self) -> IncidentTable:
        return self._base.query_one(IncidentTable)

    @property
    def _base(self) -> Any:
        return self.screen_stack[0]

    @property
    def current(self) -> Tracked | None:
        """The incident that is open, or else under the cursor."""
        if isinstance(self.screen, IncidentScreen):
            return self.source.incidents.by_id.get(self.screen.incident)
        return self._table.current

    # -- showing ---------------------------------------------------------------------------------

    def _poll(self) -> None:
        try:
            changed = self.source.poll()
        except ZeekmlError as error:
            self._tell(str(error))
            return
        if not changed:
            return
        before = self._table.current
        self._show()
        after = self._table.current
        if before is not None and (after is None or after.latest.id != before.latest.id):
            self._shifted = time.monotonic()

    def _show(self) -> None:
        shown = self.source.incidents.shown(parse_filter(self._typed, self._shows_closed))
        wide = self.size.width >= _WIDE
        self._base.set_class(wide, "wide")
        self._put("health", panes.health_text(self.source))
        self._table.show_incidents(shown)
        counts = totals(shown, _PANE_ROWS)
        share = self.size.width // (5 if wide else 4) - 1
        self._pane("time", "Incidents over time", panes.over_time(shown, share * 2))
        if wide:
            self._pane("sources", "Top sources", count_rows(counts.sources, share, _PANE_ROWS))
            self._pane("targets", "Top targets", count_rows(counts.targets, share, _PANE_ROWS))
        else:
            hosts = count_rows(counts.sources, share, 2)
            hosts += [Text("Top targets", style="bold"), *count_rows(counts.targets, share, 2)]
            self._pane("sources", "Top sources", hosts)
        named = count_rows(tactics(counts, self._policy), share, _PANE_ROWS)
        self._pane("tactics", "ATT&CK tactics", named)
        self._show_keys()
        if isinstance(self.screen, TextScreen):
            self.screen.bring_up_to_date()

    def _pane(self, name: str, title: str, rows: list[Text]) -> None:
        self._put(name, Text("\n").join([Text(title, style="bold"), *rows]))

    def _put(self, name: str, text: Text) -> None:
        text.no_wrap = name not in ("health", "why")
        self._base.query_one(f"#{name}", Static).update(text)

    def _show_keys(self) -> None:
        shown = f"{self.source.incidents.open_count:,} open"
        if self._typed:
            shown += f", filter: {printable(self._typed, 40)}"
        self._put("keys", Text(f"{self._message or shown}   {_KEYS}"))

    def _tell(self, message: str) -> None:
        self._message = printable(message, 400)
        self._show_keys()
        if isinstance(self.screen, TextScreen):
            self.screen.tell(self._message)

    @on(IncidentTable.Moved)
    def _show_why(self) -> None:
        incident = self._table.current
        why = "; ".join(incident.latest.why) if incident else "nothing is shown"
        self._put("why", Text(f"Why: {why or 'not known'}"))

    # -- doing -----------------------------------------------------------------------------------

    @on(IncidentTable.IncidentChosen)
    def _open(self) -> None:
        incident = self._table.current
        if incident is not None:
            name = incident.latest.id
            self.push_screen(IncidentScreen(name, lambda: self._explained(name, incident)))

    def _explained(self, name: str, opened: Tracked) -> list[Text]:
        incident = self.source.incidents.by_id.get(name, opened)
        others = self.source.incidents.counterparts(incident)
        history: list[Label] = []
        if name in self.source.labels:
            with closing(Labels(self.source.directory)) as labels:
                history = labels.history(name)
        told = panes.explanation(incident, history, others)
        return [*told, *panes.evidence_rows(self.source.lines(name))]

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(TextScreen(lambda: [Text(HELP)], "Esc back"))

    def action_ask_filter(self) -> None:
        """Ask for a filter."""
        asked = self._base.query_one("#filter", Input)
        asked.value = self._typed
        asked.add_class("asked")
        asked.focus()

    @on(Input.Submitted, "#filter")
    def _take_filter(self, event: Input.Submitted) -> None:
        self._typed = event.value
        self.action_leave_filter()

    def action_leave_filter(self) -> None:
        """Back to the list."""
        self._base.query_one("#filter", Input).remove_class("asked")
        self._message = ""
        self._table.focus()
        self._show()

    def action_toggle_closed(self) -> None:
        """Show incidents that are over, or hide them."""
        self._shows_closed = not self._shows_closed
        self._show()

    def _is_meant(self) -> bool:
        """Whether what is under the cursor is what whoever pressed the key was looking at."""
        if isinstance(self.screen, IncidentScreen):
            return True
        if time.monotonic() - self._shifted < JUST_NOW:
            self._tell("the incident under the cursor has just gone; look, and press again")
            return False
        return True

    def action_label(self, truth: bool) -> None:
        """Label the incident under the cursor."""
        incident = self.current
        if incident is None or not self._is_meant():
            return
        line = incident.latest

        def give() -> None:
            evidence = self.source.evidence(line.id)
            label_incident(self.source.directory, line.id, truth, line.raw, evidence=evidence)

        self._try(give, f"labelled {'true' if truth else 'false'}: {line.id}")

    def action_suppress(self) -> None:
        """Ask for an entry of the allowlist that covers the incident under the cursor."""
        incident, rules = self.current, self._rules
        if incident is None or isinstance(self.screen, AllowlistScreen) or not self._is_meant():
            return
        if rules is None:
            self._tell("start with --rules DIR, the directory of the allowlist of the watch")
            return
        path = allowlist_path(rules)

        def write(entry: dict[str, Scope] | None) -> None:
            if entry is not None:
                self._try(lambda: append_entry(path, entry), f"silenced in {path}")

        try:
            owner = getpass.getuser()
        except (OSError, KeyError):  # a user id without a name
            owner = ""
        self.push_screen(AllowlistScreen(incident.latest, printable(str(path), 200), owner), write)

    def _try(self, step: Callable[[], object], done: str) -> None:
        try:
            step()
        except ZeekmlError as error:
            self._tell(f"!! {error}")
            return
        self._poll()
        self._tell(done)


def write_svg(source: Source, policy: Policy | None, rules: Path | None, path: Path) -> None:
    """Write the first screen as an SVG picture."""

    async def drawn() -> str:
        app = DashboardApp(source, policy, rules)
        async with app.run_test(size=SCREENSHOT_SIZE) as pilot:
            await pilot.pause()
            await pilot.pause()
            return app.export_screenshot(title="zeekml dashboard")

    # it comes with the addresses of fonts: whoever looks at a picture should not be sent for them
    text = _FONT_FACE.sub("", asyncio.run(drawn()))
    with as_output_error(path):
        path.write_text(text, encoding="utf-8")
