"""What attacked in a recording is told from what its author called it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.datasets.environment import Environment
from zeekml.datasets.families import KINDS, CaptureNames, capture_names, names_in

MALWARE, EXPLOITS, TOOLS, DELIVERY = range(KINDS)


@pytest.mark.parametrize(
    ("text", "kind", "names"),
    [
        ("mta/2017-02-02-Cerber-from-adibas.top", MALWARE, ("Cerber",)),
        ("2017-04-04-Cerber-Kovter-malspam-traffic", MALWARE, ("Cerber", "Kovter")),
        ("alert: ET TROJAN Win32.Spy/TVRat Checkin", MALWARE, ("TVRat",)),
        ("zeek-asyncrat-detector/30a385ed", MALWARE, ("AsyncRAT",)),
        ("Rig-EK-sends-Godzilla-Loader", MALWARE, ("Godzilla Loader",)),
        ("phase1_Lin_PHP_Godzilla", MALWARE, ("Godzilla",)),
        ("shell_to_meterpreter_basic", MALWARE, ("Metasploit",)),
        ("exploits/CVE-2021-1675/packetcapture_1", EXPLOITS, ("PrintNightmare",)),
        ("CVE-2020-1472_test_win2016", EXPLOITS, ("Zerologon",)),
        ("CVE-2017-0199 attempt", EXPLOITS, ("CVE-2017-0199",)),
        ("ad-lab/wmi_exec_2", TOOLS, ("wmi",)),
        ("multiple_psexecs_with_cmds", TOOLS, ("psexec",)),
        ("2017-05-12-Rig-EK-1st-run", DELIVERY, ("Rig EK",)),
        ("ET CURRENT_EVENTS RIG EK URI Struct", DELIVERY, ("Rig EK",)),
    ],
)
def test_names_are_found_by_kind(text: str, kind: int, names: tuple[str, ...]) -> None:
    assert names_in(text)[kind] == names


def test_parts_of_words_are_no_names() -> None:
    assert names_in("blockyard/matrixes of cerberus") == ((), (), (), ())


@given(st.text(max_size=80))
def test_any_text_is_taken_and_upper_case_makes_no_difference(text: str) -> None:
    ascii_text = text.encode("ascii", "ignore").decode()
    assert len(names_in(text)) == KINDS
    assert names_in(ascii_text.upper())[:DELIVERY] == names_in(ascii_text.lower())[:DELIVERY]


def labelled(
    make_table: Callable[..., pa.Table], captures: list[str], **columns: list[str | None]
) -> pa.Table:
    """One recording after the other, each benign and then malicious; columns by recording."""
    parts = []
    for number, capture in enumerate(captures):
        part = make_table(seed=number, benign=10, malicious=6)
        part = part.append_column("capture", pa.array([capture] * len(part)))
        for name, values in columns.items():
            part = part.append_column(name, pa.array([values[number]] * len(part), pa.string()))
        parts.append(part)
    return pa.concat_tables(parts)


def told(environment: Environment) -> dict[str, CaptureNames]:
    return dict(zip(environment.capture_names, capture_names(environment), strict=True))


def test_what_is_nearest_to_the_malware_is_the_family(
    make_environment: Callable[..., Environment], make_table: Callable[..., pa.Table]
) -> None:
    captures = ["Rig-EK-sends-Spora", "Rig-EK-run", "malspam", "nothing", "Locky-a"]
    raw = ["RIG EK URI", "RIG EK URI", "ET TROJAN Zbot POST", None, "JS.Nemucod to PS"]
    found = told(make_environment(labelled(make_table, captures, label_raw=raw)))
    families = {name: one.families for name, one in found.items()}
    assert families == {
        "Rig-EK-sends-Spora": ("Spora",),
        "Rig-EK-run": ("Rig EK",),
        "malspam": ("Zbot",),
        "nothing": (),
        "Locky-a": ("Locky",),
    }
    assert found["Rig-EK-sends-Spora"].every == {"Spora", "Rig EK"}
    assert found["Locky-a"].every == {"Locky", "Nemucod"}


def test_the_column_goes_before_all(
    make_environment: Callable[..., Environment], make_table: Callable[..., pa.Table]
) -> None:
    table = labelled(make_table, ["Cerber-1", "x"], family=["house worm", None])
    found = told(make_environment(table))
    assert found["Cerber-1"].families == ("house worm",)
    assert found["Cerber-1"].every == {"house worm", "Cerber"}
    assert found["x"].families == ()


def test_a_recording_without_attacks_has_no_family(
    make_environment: Callable[..., Environment], make_table: Callable[..., pa.Table]
) -> None:
    table = labelled(make_table, ["Cerber-1", "Cerber-2"])
    captures, labels = (np.array(table[name].to_pylist()) for name in ("capture", "label"))
    table = table.filter(pa.array((labels == "benign") | (captures == "Cerber-1")))
    found = told(make_environment(table))
    assert (found["Cerber-1"].families, found["Cerber-2"].families) == (("Cerber",), ())
    environment = make_environment(table)
    some = environment.take(np.flatnonzero(environment.captures == 0))
    assert [one.families for one in capture_names(some)] == [("Cerber",), ()]
