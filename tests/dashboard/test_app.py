"""The dashboard driven by its keys, without a terminal; see test_terminal for one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static
from written import HOSTILE, commit, notice, write_log

from zeekml.dashboard.app import DashboardApp, write_svg
from zeekml.dashboard.incident_table import IncidentTable
from zeekml.dashboard.screens import AllowlistScreen, IncidentScreen
from zeekml.detection.allowlist import load_allowlist
from zeekml.detection.policy import Policy
from zeekml.live.state.database import State
from zeekml.triage.labels import present_labels
from zeekml.triage.source import OutputSource, StateSource

Act = Callable[[Pilot[None]], Awaitable[None]]


def drive(app: DashboardApp, act: Act, size: tuple[int, int] = (120, 36)) -> None:
    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await pilot.pause()
            await act(pilot)

    try:
        asyncio.run(run())
    finally:
        app.source.close()


def shown(app: DashboardApp, name: str) -> str:
    return str(app.screen.query_one(f"#{name}", Static).content)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A state with three open incidents."""
    path = tmp_path / "state"
    state = State(path)
    severities = ("low", "critical", "medium")
    named = zip(("alpha", "beta", "gamma"), severities, strict=True)
    commit(state, [notice(n, severity=s, msg=msg) for n, (msg, s) in enumerate(named)])
    state.close()
    return path


@pytest.fixture
def app(directory: Path, policy: Policy, tmp_path: Path) -> DashboardApp:
    source = StateSource(directory)
    source.poll()
    return DashboardApp(source, policy, tmp_path)


def test_open_filter_label_silence(app: DashboardApp, directory: Path, tmp_path: Path) -> None:
    async def act(pilot: Pilot[None]) -> None:
        table = app.screen.query_one(IncidentTable)
        assert table.current is not None
        assert table.current.latest.msg == "beta"  # the most severe
        await pilot.press("enter")
        assert isinstance(app.screen, IncidentScreen)
        assert "beta" in shown(app, "text")
        assert "src60_hosts=9 hosts (usual 2) +0.77" in shown(app, "text")
        await pilot.press("f")
        await pilot.press("escape")
        assert present_labels(directory)[0].truth is False

        await pilot.press("slash", *"medium", "enter")
        await pilot.pause()
        assert table.current.latest.msg == "beta"  # that or worse
        await pilot.press("slash")
        app.screen.query_one("#filter", Input).value = "gamma"
        await pilot.press("enter")
        await pilot.pause()
        assert table.current.latest.msg == "gamma"
        await pilot.press("t")
        assert {label.id[-1]: label.truth for label in present_labels(directory)} == {
            "1": False,
            "2": True,
        }

        await pilot.press("s")
        assert isinstance(app.screen, AllowlistScreen)
        await pilot.press(*"known", "enter")
        app.screen.query_one("#owner", Input).value = "alice"
        await pilot.press("enter", "enter")
        await pilot.pause()
        assert load_allowlist(tmp_path).entries == ()  # asked first
        await pilot.press("y")
        await pilot.pause()

    drive(app, act)
    (entry,) = load_allowlist(tmp_path).entries
    assert (entry.reason, entry.owner) == ("known", "alice")
    assert entry.notes == {"ZeekML::Scan"}
    assert [str(net) for net in entry.src] == ["192.0.2.1/32"]


def test_no_key_is_taken_for_what_has_just_come_under_the_cursor(
    app: DashboardApp, directory: Path
) -> None:
    async def act(pilot: Pilot[None]) -> None:
        state = State(directory)
        over = notice(1, severity="critical", msg="beta", state="closed", seq=1)
        commit(state, [over])
        state.close()
        table = app.screen.query_one(IncidentTable)
        while table.current is None or table.current.latest.msg == "beta":
            await pilot.pause(0.05)
        await pilot.press("t", "s")
        assert not isinstance(app.screen, AllowlistScreen)
        assert present_labels(directory) == []
        await pilot.pause(1.6)
        await pilot.press("t")
        assert present_labels(directory)[0].id == table.current.latest.id

    drive(app, act)


def test_the_same_attack_of_another_sensor_is_named(app: DashboardApp, directory: Path) -> None:
    state = State(directory)
    commit(state, [notice(9, severity="low", msg="delta", group=f"{1:016x}")])
    state.close()
    app.source.poll()

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        assert f"also seen   by another sensor (conn): {9:024x}  delta" in shown(app, "text")

    drive(app, act)


def test_a_no_leaves_all_as_it_is(app: DashboardApp, tmp_path: Path) -> None:
    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("s", *"x", "enter", "enter", "enter")
        await pilot.press("n")
        await pilot.press("s", "escape")

    drive(app, act)
    assert load_allowlist(tmp_path).entries == ()


def test_what_the_watcher_commits_is_there_within_two_seconds(
    app: DashboardApp, directory: Path
) -> None:
    async def act(pilot: Pilot[None]) -> None:
        state = State(directory)
        commit(state, [notice(9, severity="critical", score=0.99, msg="just now")])
        state.close()
        for _ in range(20):
            await pilot.pause(0.1)
            await pilot.press("home")
            current = app.screen.query_one(IncidentTable).current
            if current is not None and current.latest.msg == "just now":
                return
        pytest.fail("not shown after two seconds")

    drive(app, act)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 12)])
def test_sizes_and_ten_thousand_incidents(
    policy: Policy, tmp_path: Path, size: tuple[int, int]
) -> None:
    write_log(tmp_path / "out", (notice(n, msg=f"incident {n}") for n in range(10_000)))
    source = OutputSource(tmp_path / "out")
    source.poll()
    app = DashboardApp(source, policy, None)

    async def act(pilot: Pilot[None]) -> None:
        table = app.screen.query_one(IncidentTable)
        await pilot.press("end")
        last = table.current
        await pilot.press("home", "pagedown", "up")
        assert table.current is not None
        assert last is not None
        assert table.current is not last
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "10,000 open" in str(app.screen.query_one("#keys", Static).content)

    drive(app, act, size)


def test_nothing_of_a_log_reaches_the_terminal(policy: Policy, tmp_path: Path) -> None:
    texts = {"msg": HOSTILE, "sub": HOSTILE, "why": (HOSTILE,), "src": HOSTILE}
    write_log(tmp_path / "out", [notice(1, signatures=(HOSTILE,), **texts)])
    source = OutputSource(tmp_path / "out")
    source.poll()
    picture = tmp_path / "first.svg"
    write_svg(source, policy, None, picture)
    text = picture.read_text()
    # nothing is fetched by whoever looks at it
    assert set(re.findall(r"https?://[^\"') ]+", text)) == {"http://www.w3.org/2000/svg"}
    for character in "\x1b\x07\x9b\u202e":
        assert character not in text
    app = DashboardApp(source, policy, None)

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        assert "[bold red]x[/]" in shown(app, "text")
        assert "\x1b" not in app.export_screenshot()

    drive(app, act)
    assert app.return_code in (None, 0)
