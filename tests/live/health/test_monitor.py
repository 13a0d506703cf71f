"""When problems are raised, when they are over, and that each is told of once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.alerts.health_notice import SENSOR_PROBLEM, HealthNotice
from zeekml.config import Config
from zeekml.errors import InputError
from zeekml.live.health.figures import StreamFigures
from zeekml.live.health.monitor import HealthMonitor
from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.live.tail.events import Cause, Gap, Recovered, Trouble

WALL = 1_795_430_000.0
HOUR = 3600.0


class Watch:
    """A monitor with clocks of its own, and figures that change step by step."""

    def __init__(self, limits: Config | None = None) -> None:
        self.limits = limits or Config()
        self.now = 500.0
        self.wall = WALL
        self.monitor = self.begin()
        self.figures = StreamFigures()
        self.told: list[HealthNotice] = []

    def begin(self, sensor: str = "office") -> HealthMonitor:
        return HealthMonitor(sensor, self.limits, lambda: self.now, lambda: self.wall)

    def step(self, seconds: float = 0.0, **changes: Any) -> list[str]:
        """Let time pass, change the figures, and look; `more_…` adds to a total."""
        self.now += seconds
        self.wall += seconds
        for name, value in changes.items():
            field = name.removeprefix("more_")
            before = getattr(self.figures, field) if name != field else 0
            self.figures = replace(self.figures, **{field: before + value if before else value})
        return self.keep(self.monitor.observe("conn", self.figures))

    def records(self, number: int, seconds: float = 1.0, **changes: Any) -> list[str]:
        """Read and score so many records."""
        return self.step(seconds, more_records_read=number, more_records_scored=number, **changes)

    def others(self, seconds: float, **types: int) -> list[str]:
        """Let time pass, and read lines of other types."""
        told: dict[str, Any] = {"sensor": "suricata", "formats": ("suricata_eve",)}
        told["more_records_read"] = sum(types.values())
        return self.step(seconds, more_skipped=Counter(types), **told)

    def ended(self) -> list[str]:
        return self.keep(self.monitor.ended("conn", self.figures))

    def event(self, event: Gap | Trouble | Recovered) -> list[str]:
        return self.keep(self.monitor.event("conn", event))

    def keep(self, notices: list[HealthNotice]) -> list[str]:
        self.told += notices
        return [f"{n.details['problem']} {n.state} {n.seq}" for n in notices]

    def restart(self, seconds: float = 0.0) -> None:
        """Start anew with what was stored; totals and the one clock begin again."""
        stored = json.loads(json.dumps(self.monitor.save()))
        self.figures = replace(self.figures, records_read=0, rejected={}, records_scored=0)
        self.now, self.wall = 3.0, self.wall + seconds
        self.monitor = self.begin()
        self.monitor.load(stored)


def bad(lines: int) -> Counter[str]:
    return Counter(bad_value=lines)


def gap(cause: Cause = Cause.VANISHED, at_least: int = 5000, source: str = "/l/conn.log") -> Gap:
    return Gap(source, cause, 1200, 17, at_least, Checkpoint())


def test_a_log_that_falls_silent_and_comes_back() -> None:
    watch = Watch()
    watch.records(5)
    assert watch.step(HOUR - 1) == []
    assert watch.step(1) == ["stalled open 0"]
    assert watch.step(HOUR * 5) == []
    assert watch.records(1) == ["stalled closed 1"]
    opened, closed = watch.told
    assert opened.id == closed.id
    assert opened.note == SENSOR_PROBLEM
    assert (opened.ts, opened.stream, opened.sensor) == (WALL + HOUR + 1, "conn", "office")
    assert opened.msg == "conn: no new record for 60 min"
    assert opened.sub.startswith("none since 2026-11-23 10:33:21 UTC; see whether the sensor runs")
    assert closed.msg == "conn: new records come again"
    assert closed.sub == "the problem lasted 5 h; nothing is to be done"


def test_a_log_that_never_appears() -> None:
    watch = Watch()
    watch.figures = StreamFigures(sensor="zeek", absent=("/l/conn.log",))
    assert watch.step() == watch.step(HOUR - 1) == []
    assert watch.step(1) == ["unscored open 0"]
    assert watch.told[0].msg == "conn: no flow for 60 min: /l/conn.log does not exist"
    assert "--zeek" in watch.told[0].sub
    assert watch.step(HOUR * 50) == []
    assert watch.records(1) == ["unscored closed 1"]
    assert watch.told[0].id == watch.told[1].id


def test_a_log_that_cannot_be_looked_at_is_told_of_once() -> None:
    watch = Watch()
    assert watch.event(Trouble("/l/conn.log", "Permission denied")) == ["trouble open 0"]
    assert watch.step() == watch.step(HOUR * 2) == []
    assert watch.ended() == []


def test_lines_of_which_none_is_a_flow() -> None:
    watch = Watch()
    watch.records(5)
    assert watch.others(30, alert=40, dns=2) == []
    assert watch.others(HOUR - 31, alert=1) == []
    # a start is no flow
    watch.restart()
    assert watch.others(0) == []
    assert watch.others(1) == ["unscored open 0"]
    assert watch.told[-1].msg == (
        "conn: no flow for 60 min: read as suricata_eve, 43 records of other types came: "
        "alert 41, dns 2"
    )
    assert "`- flow`" in watch.told[-1].sub
    watch.restart(HOUR)
    assert watch.others(HOUR * 2, alert=5) == []
    assert watch.records(1) == ["unscored closed 1"]
    # what came before is not told of again
    assert watch.others(HOUR - 1, alert=3) == []
    assert watch.others(1, alert=1) == ["unscored open 0"]
    assert watch.told[-1].msg.endswith("4 records of other types came: alert 4")


def test_a_log_with_flows_that_falls_silent_after_something_else_is_silent() -> None:
    watch = Watch()
    watch.records(5)
    assert watch.others(1, stats=1) == []
    assert watch.others(HOUR) == ["stalled open 0"]


def test_nothing_scored_is_told_at_the_end_of_the_input_at_once() -> None:
    watch = Watch()
    assert watch.others(1, netflow=7) == []
    assert watch.ended() == ["unscored open 0"]
    assert watch.told[0].msg.startswith("conn: nothing was scored: ")
    assert watch.ended() == []


@pytest.mark.parametrize("limit", [0.0, 60.0, 90_000.0])
def test_how_long_silence_may_last_is_a_setting(limit: float) -> None:
    watch = Watch(Config(stall_after=limit))
    watch.records(1)
    said = [watch.step(50), watch.step(50), watch.step(86_400)]
    assert said == [[], ["stalled open 0"] if limit == 60.0 else [], []]


def test_a_restart_is_no_silence_but_does_not_end_one() -> None:
    watch = Watch()
    watch.records(1)
    watch.step(HOUR - 10)
    watch.restart(HOUR * 9)
    assert watch.step(1) == []
    assert watch.step(HOUR) == ["stalled open 0"]
    watch.restart()
    assert watch.step(1) == watch.step(HOUR * 3) == []
    assert watch.records(1) == ["stalled closed 1"]
    assert watch.told[0].id == watch.told[1].id


def test_lines_that_cannot_be_read() -> None:
    watch = Watch()
    watch.step()
    assert watch.step(1, more_records_read=999, more_rejected=bad(900)) == []
    assert watch.step(1, more_records_read=1) == ["rejects open 0"]
    assert watch.told[0].msg == "conn: 90.0% of the last 1,000 lines cannot be read"
    # a share of few lines says nothing
    assert watch.step(1, more_records_read=500) == []
    assert watch.step(1, more_records_read=500, more_rejected=bad(50)) == ["rejects closed 1"]
    assert watch.records(1000, HOUR, more_rejected=bad(50)) == []
    assert watch.records(1000, more_rejected=bad(51)) == ["rejects open 0"]


def warm_up(watch: Watch, coverage: float = 0.8) -> None:
    watch.step(coverage=coverage)
    for _ in range(10):
        assert watch.records(1000, coverage=coverage) == []


def test_records_that_lose_their_values() -> None:
    watch = Watch()
    warm_up(watch)
    assert watch.records(1000, coverage=0.41) == []
    assert watch.records(999, coverage=0.1) == []
    assert watch.records(1) == ["coverage open 0"]
    assert watch.told[0].msg == "conn: records have only 10% of their values, usually 76%"
    assert watch.records(1000) == []
    assert watch.records(1000, coverage=0.8) == ["coverage closed 1"]


@pytest.mark.parametrize("usual", [0.9, 0.2])
def test_half_of_what_is_usual_is_too_little(usual: float) -> None:
    watch = Watch()
    warm_up(watch, usual)
    assert watch.records(1000, coverage=usual * 0.51) == []
    assert watch.records(1000, coverage=usual * 0.47) == ["coverage open 0"]


def test_the_usual_coverage_survives_a_restart_and_is_not_known_at_first() -> None:
    watch = Watch()
    watch.step(coverage=0.9)
    assert watch.records(1000) == watch.records(1000, coverage=0.1) == []
    watch = Watch()
    warm_up(watch)
    watch.restart()
    watch.step()
    assert watch.records(1000, coverage=0.3) == ["coverage open 0"]


def test_a_lasting_change_becomes_usual() -> None:
    watch = Watch()
    for _ in range(300):
        warm_up(watch)
    said = [line for _ in range(600) for line in watch.records(1000, coverage=0.3)]
    assert said == ["coverage open 0", "coverage closed 1"]


def test_traffic_of_which_one_side_is_missing() -> None:
    watch = Watch()
    assert watch.records(1000, one_sided=0.08) == []
    assert watch.records(1000, one_sided=0.34, lacks_side=True) == ["one_sided open 0"]
    told = watch.told[0]
    assert told.note == SENSOR_PROBLEM
    assert told.msg.startswith("conn: 34% of the last 1,000 TCP and UDP flows have packets of one")
    assert told.sub.endswith("checksum-checks: no)")
    assert told.details["share"] == 0.34
    assert watch.records(1000, seconds=HOUR, one_sided=0.2) == []
    watch.restart(60)
    assert watch.step() == []
    assert watch.records(1000, one_sided=0.01, lacks_side=False) == ["one_sided closed 1"]
    assert "sees both sides" in watch.told[-1].msg
    # before a window is full nothing is known
    assert Watch().records(10, lacks_side=True) == []


def test_falling_behind() -> None:
    watch = Watch()
    watch.step(lag=200.0, bytes_behind=10**6)
    assert watch.step(100, lag=290.0) == watch.step(100, lag=310.0) == []
    assert watch.step(59, lag=400.0) == []
    assert watch.step(1, lag=400.0) == ["behind open 0"]
    assert watch.told[0].msg == "conn: 7 min behind the log, and falling back further"
    assert "1.0 MB not read yet" in watch.told[0].sub
    # catching up, but still far
    assert watch.step(60, lag=350.0) == watch.step(60, lag=301.0) == []
    assert watch.step(60, lag=300.0) == ["behind closed 1"]


def test_catching_up_is_no_problem_and_neither_is_a_quiet_log() -> None:
    watch = Watch()
    for lag in (9000.0, 8000.0, 8000.5, 5000.0):
        assert watch.step(61, lag=lag, bytes_behind=10**9) == []
    for lag in (1000.0, 2000.0, 3000.0):
        assert watch.step(61, lag=lag, bytes_behind=0) == []
    watch = Watch(Config(lag_after=0))
    for lag in (1000.0, 2000.0, 3000.0):
        assert watch.step(61, lag=lag, bytes_behind=5) == []


def live(watch: Watch, offset: float, rounds: int = 4) -> list[str]:
    """Records that come one by one, with times so far from the clock."""
    return [
        line
        for _ in range(rounds)
        for line in watch.records(10, 30.0, record_clock=watch.wall + 30.0 + offset)
    ]


@pytest.mark.parametrize(
    ("offset", "text"),
    [(7200.0, "2 h ahead of"), (-5 * HOUR, "5 h behind"), (3599.0, ""), (-3599.0, "")],
)
def test_a_clock_that_is_wrong(offset: float, text: str) -> None:
    watch = Watch()
    watch.step()
    said = live(watch, offset)
    assert said == (["clock open 0"] if text else [])
    if text:
        assert watch.told[0].msg == f"conn: records are {text} this machine's clock"
        assert live(watch, offset, 300) == []
        assert live(watch, 0.0) == ["clock closed 1"]


def test_a_clock_is_told_of_once_per_start() -> None:
    watch = Watch()
    watch.step()
    for _ in range(3):
        live(watch, 9000.0, 130)
        live(watch, 0.0)
    assert [n.state for n in watch.told] == ["open", "closed"]
    watch.restart(HOUR)
    watch.step()
    assert live(watch, 9000.0) == ["clock open 0"]
    watch.restart(HOUR)
    watch.step()
    assert live(watch, 9000.0, 130) == []


def test_an_archive_has_no_wrong_clock() -> None:
    """What is read from the past in one go did not come live, not even its end."""
    watch = Watch()
    watch.step(bytes_behind=10**9)
    for n in range(100):
        assert watch.records(1000, 30.0, record_clock=1e9 + n) == []
    assert watch.records(1000, 30.0, bytes_behind=0) == []
    assert watch.step(HOUR / 2) == []


def test_an_archive_that_is_read_in_pieces_has_no_wrong_clock() -> None:
    """Each piece is read to its end, but is there as a whole before."""
    watch = Watch()
    for n in range(20):
        assert watch.step(30.0, bytes_behind=10**6) == []
        assert watch.records(1000, 30.0, record_clock=1e9 + n, bytes_behind=0) == []


@pytest.mark.parametrize(("first", "then"), [(9000.0, 0.0), (0.0, 9000.0), (-9e3, 9e3)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_that_is_just_being_set(first: float, then: float, sign: int) -> None:
    watch = Watch()
    watch.step()
    assert live(watch, sign * first, 1) == live(watch, sign * then, 2) == []


def test_a_jump_of_the_wall_clock_is_no_problem() -> None:
    watch = Watch()
    watch.step()
    live(watch, 0.0)
    watch.wall += 10 * HOUR
    assert live(watch, 0.0) == []
    watch.wall -= 400 * HOUR
    assert live(watch, 0.0) == []
    assert watch.step(HOUR - 100) == []


def test_packets_that_the_sensor_lost() -> None:
    watch = Watch(Config(stall_after=0.0))
    assert watch.step(drops=100, packets=10_000) == []
    assert watch.step(60, drops=100, packets=20_000) == []
    assert watch.step(60, drops=350, packets=30_000) == ["drops open 0"]
    assert watch.told[0].msg == "conn: the sensor lost 250 packets (2.50%)"
    assert watch.told[0].severity == "medium"
    assert watch.step(599) == []
    assert watch.step(1) == ["drops closed 1"]
    # a sensor that was started anew counts anew
    assert watch.step(HOUR, drops=3, packets=1000) == ["drops open 0"]
    assert watch.told[2].msg == "conn: the sensor lost 3 packets (0.30%)"
    assert watch.told[2].severity == "low"
    watch.restart()
    assert watch.step(1) == watch.step(590) == []
    assert watch.step(20) == ["drops closed 1"]


def test_drops_while_we_were_down() -> None:
    watch = Watch()
    watch.step(drops=100)
    watch.restart(HOUR)
    assert watch.step(1, drops=150) == ["drops open 0"]
    assert watch.told[0].msg == "conn: the sensor lost 50 packets"


def test_trouble_with_the_log() -> None:
    watch = Watch()
    watch.records(1)
    assert watch.event(Trouble("/l/conn.log", "Permission denied")) == ["trouble open 0"]
    assert watch.event(Trouble("/l/conn.log", "Input/output error")) == []
    # that nothing comes then is no news
    assert watch.step(HOUR * 2) == []
    assert watch.event(Recovered("/l/conn.log")) == ["trouble closed 1"]
    assert watch.told[0].msg == "conn: cannot be read: /l/conn.log: Permission denied"


def test_trouble_that_flaps_is_told_of_once_an_hour() -> None:
    watch = Watch()
    watch.step()
    trouble, recovered = Trouble("/l/conn.log", "x"), Recovered("/l/conn.log")
    said = []
    for _ in range(36 * 3):
        said += watch.event(trouble) + watch.event(recovered)
        watch.step(100.0)
    assert said == ["trouble open 0", "trouble closed 1"] * 3
    # and one that stays is told of when the hour is over
    assert watch.event(trouble) == ["trouble open 0"]
    assert watch.event(recovered) == ["trouble closed 1"]
    assert watch.event(trouble) == []
    assert watch.step(HOUR - 1) == []
    assert watch.step(1) == ["trouble open 0"]


def test_trouble_over_a_restart() -> None:
    watch = Watch()
    watch.event(Trouble("/l/conn.log", "x"))
    watch.restart(10)
    watch.step()
    assert watch.event(Trouble("/l/conn.log", "x")) == []
    assert watch.step(100) == []
    watch.restart(10)
    assert watch.step() == watch.step(59) == []
    assert watch.step(1) == ["trouble closed 1"]


@pytest.mark.parametrize("cause", list(Cause))
def test_a_gap_has_one_line(cause: Cause) -> None:
    watch = Watch()
    assert watch.event(gap(cause)) == ["gap closed 0"]
    notice = watch.told[0]
    assert notice.msg == "conn: at least 5.0 kB lost before it was read: /l/conn.log"
    assert notice.sub.startswith(f"{cause.replace('_', ' ')} at byte 1200, line 17; ")
    assert dict(notice.details) == {
        "problem": "gap",
        "source": "/l/conn.log",
        "cause": cause.value,
        "offset": 1200,
        "line": 17,
        "at_least_bytes": 5000,
    }
    assert watch.step(HOUR * 2) == []


def test_many_gaps_are_summed_up() -> None:
    watch = Watch(Config(stall_after=0.0))
    assert watch.event(gap()) == ["gap closed 0"]
    assert watch.event(gap()) == watch.event(gap(at_least=0)) == []
    assert watch.event(gap(Cause.DAMAGED)) == ["gap closed 0"]
    watch.restart(HOUR / 2)
    assert watch.step(1) == []
    assert watch.event(gap(at_least=1000)) == []
    assert watch.step(HOUR / 2) == ["gap closed 0"]
    assert watch.told[-1].msg == "conn: 3 further gaps, at least 6.0 kB lost"
    assert watch.step(HOUR * 2) == []
    assert watch.event(gap(at_least=0)) == ["gap closed 0"]
    assert watch.told[-1].msg == "conn: data may be lost before it was read: /l/conn.log"
    assert len({notice.id for notice in watch.told}) == 4


def test_a_gap_after_the_hour_is_summed_up_with_those_before() -> None:
    watch = Watch()
    said = [watch.event(gap()), watch.event(gap())]
    watch.now += HOUR
    said += [watch.event(gap()), watch.step()]
    assert said == [["gap closed 0"], [], [], ["gap closed 0"]]
    assert watch.told[-1].msg == "conn: 2 further gaps, at least 10 kB lost"


@pytest.mark.parametrize("away", [0.0, -100 * HOUR, 500.0])
def test_the_hour_goes_on_over_a_restart(away: float) -> None:
    """It may get longer when the clock is set back meanwhile, but not by more than that run."""
    watch = Watch()
    watch.event(gap())
    watch.step(3000.0)
    watch.restart(away)
    left = 600.0 - max(away, 0.0)
    assert watch.event(gap()) == watch.step(left - 1.0) == []
    assert watch.step(1.0) == ["gap closed 0"]


def test_the_same_moment_twice_makes_two_ids() -> None:
    watch = Watch()
    watch.event(gap())
    watch.now += HOUR
    watch.event(gap())
    first, second = watch.told
    assert first.ts == second.ts
    assert first.id != second.id


def test_a_lost_context() -> None:
    watch = Watch()
    lost = watch.monitor.context_lost("conn", "the journal is damaged")
    assert watch.keep(lost) == ["context closed 0"]
    assert lost[0].msg == "conn: what hosts did in the last hour is not known"
    assert lost[0].sub.startswith("the journal is damaged; ")


def test_hostile_names() -> None:
    name = "a\x1b[2J\n\u202e\udcff"
    monitor = Watch().begin(name)
    told = monitor.event(name, gap(source=name))
    told += monitor.event(name, Trouble(name, name))
    told += monitor.context_lost(name, name)
    for notice in told:
        assert (notice.msg + notice.sub + notice.stream + notice.sensor).isprintable()
        assert all(item.isprintable() for item in notice.described())
    assert len(told) == 3


def test_streams_do_not_mix_and_can_be_dropped() -> None:
    watch = Watch()
    monitor = watch.monitor
    trouble = Trouble("x", "y")
    for stream in ("a", "b"):
        assert len(monitor.event(stream, trouble)) == 1
    assert monitor.open_problems == [("a", "trouble"), ("b", "trouble")]
    after = watch.begin()
    after.load(monitor.save())
    assert after.open_problems == monitor.open_problems
    notices = after.keep_only(["b"])
    assert [(n.stream, n.msg, n.state, n.seq) for n in notices] == [
        ("a", "a: no longer watched", "closed", 1)
    ]
    assert after.open_problems == [("b", "trouble")]
    assert "a" not in after.save()["streams"]


def test_what_is_stored_survives_until_the_first_look() -> None:
    watch = Watch()
    watch.event(Trouble("x", "y"))
    stored = watch.monitor.save()
    monitor = watch.begin()
    monitor.load(stored)
    assert monitor.save() == stored


@pytest.mark.parametrize(
    "damage",
    [
        None,
        [],
        {},
        {"wall": "x", "number": 0, "streams": {}},
        {"wall": 0.0, "number": 0, "streams": {"a": {"problems": {"trouble": {}}}}},
        {
            "wall": 0.0,
            "number": 0,
            "streams": {
                "a": {
                    "problems": {
                        "gap \x1b": {"id": "", "opened": 0, "open": False, "severity": "low"}
                    }
                }
            },
        },
    ],
)
def test_damaged_storage(damage: Any) -> None:
    monitor = Watch().monitor
    with pytest.raises(InputError, match="damaged") as caught:
        monitor.load(damage)
    assert str(caught.value).isprintable()
    assert monitor.observe("conn", StreamFigures()) == []


STEPS = st.one_of(
    st.tuples(
        st.just("look"),
        st.fixed_dictionaries(
            {},
            optional={
                "more_records_read": st.integers(0, 3000),
                "more_rejected": st.integers(0, 300).map(bad),
                "more_records_scored": st.integers(0, 2500),
                "bytes_behind": st.sampled_from([0, 5]),
                "lag": st.sampled_from([None, 0.0, 400.0, 1e4]),
                "coverage": st.sampled_from([None, 0.0, 0.1, 0.9]),
                "drops": st.integers(0, 5),
                "record_clock": st.sampled_from([None, 0.0, WALL, WALL * 2]),
            },
        ),
    ),
    st.tuples(
        st.just("event"),
        st.one_of(
            st.builds(gap, st.sampled_from(Cause), st.integers(0, 9)),
            st.just(Trouble("x", "y")),
            st.just(Recovered("x")),
        ),
    ),
    st.tuples(st.just("restart"), st.floats(0.0, 1e4)),
    st.tuples(st.just("jump"), st.floats(-1e6, 1e6)),
)


@settings(max_examples=120, derandomize=True)
@given(st.lists(st.tuples(STEPS, st.sampled_from([0.0, 0.25, 30.0, 700.0, 4000.0])), max_size=80))
def test_whatever_happens(steps: list[tuple[tuple[str, Any], float]]) -> None:
    """Each problem opens once and closes once; no kind opens twice within an hour."""
    watch = Watch()
    # time that has passed at least, whatever the clocks say
    elapsed, seen = 0.0, set()
    opened_at: dict[Any, float] = {}
    states: dict[str, int] = {}
    jumped = False
    for (what, value), seconds in steps:
        before = len(watch.told)
        elapsed += seconds
        if what == "look":
            watch.step(seconds, **value)
        elif what == "event":
            watch.now += seconds
            watch.wall += seconds
            watch.event(value)
        elif what == "restart":
            watch.now += seconds
            watch.restart(value)
            elapsed += value
        else:
            watch.wall += value
            jumped = True
        for notice in watch.told[before:]:
            assert (notice.id, notice.seq) not in seen
            seen.add((notice.id, notice.seq))
            key = (notice.details["problem"], notice.details.get("cause"))
            if notice.seq == 0:
                # a jump forward between two runs looks like time that has passed
                if key in opened_at and not jumped:
                    assert elapsed - opened_at[key] >= HOUR - 1e-3
                opened_at[key] = elapsed
                assert notice.id not in states
                states[notice.id] = 0 if notice.state == "open" else 1
            else:
                assert notice.state == "closed"
                assert states[notice.id] == 0
                states[notice.id] = 1
            assert notice.msg.isprintable()
            assert notice.sub
        assert len(json.dumps(watch.monitor.save())) < 3000
    still_open = sum(state == 0 for state in states.values())
    assert len(watch.monitor.open_problems) == still_open
