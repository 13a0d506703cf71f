"""Progress bars on stderr, for work measured in bytes of input or in steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress
from rich.console import Console

from zeekml.cli import interrupts

_PATIENCE = 4.0  # seconds without any progress after which a first run explains itself


@contextmanager
def input_progress(
    what: str, total_bytes: int | None, *, hidden: bool
) -> Iterator[Callable[[int, int], None]]:
    """A bar that its callback moves by (bytes, records); None for an unknown size, as of stdin."""
    rate_shown, spent = progress.TextColumn("{task.fields[rate]}"), progress.TimeElapsedColumn()
    columns = (progress.DownloadColumn(), rate_shown, spent, progress.TimeRemainingColumn())
    bar = _bar(*columns, hidden=hidden)
    patience = threading.Timer(
        _PATIENCE,
        lambda: bar.console.print(
            "Preparing: after an installation the feature code is compiled once, "
            "which can take a minute.",
            style="dim",
        ),
    )
    patience.daemon = True
    with bar:
        task = bar.add_task(what, total=total_bytes, rate="")
        records = 0
        if not bar.disable:
            patience.start()

        def advance(done: int, rows: int) -> None:
            nonlocal records
            interrupts.check()
            patience.cancel()
            records += rows
            elapsed = bar.tasks[task].elapsed or 0.0
            rate = f"{records / elapsed:,.0f} records/s" if elapsed > 0 else ""
            bar.update(task, advance=done, rate=rate)

        try:
            yield advance
        finally:
            patience.cancel()


@contextmanager
def step_progress(*, hidden: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar that its callback sets to (what is being done, steps done, steps in all)."""
    columns = (progress.MofNCompleteColumn(), progress.TimeElapsedColumn())
    with _bar(*columns, hidden=hidden) as bar:
        task = bar.add_task("starting", total=None)

        def show(what: str, done: int, total: int) -> None:
            interrupts.check()
            bar.update(task, description=what, completed=done, total=total)

        yield show


def _bar(*columns: progress.ProgressColumn, hidden: bool) -> progress.Progress:
    """A bar that goes when it is done; silent when stderr is no terminal."""
    console = Console(stderr=True)
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *columns,
        console=console,
        transient=True,
        disable=hidden or not console.is_terminal,
    )
