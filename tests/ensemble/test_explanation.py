from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest

from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.bundle_writer import NewMember
from zeekml.ensemble.classes import BINARY_CLASSES
from zeekml.ensemble.explanation import Contribution, amount, explain, phrase
from zeekml.ensemble.manifest import Calibration, Usual
from zeekml.ensemble.scaler import Scaler
from zeekml.ensemble.scoring import Ensemble
from zeekml.ensemble.tflite_file import write_mlp
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES, Feature

Make = Callable[..., Bundle]

# log-odds per unit of the stored value
WEIGHTS = {
    "src60_ports": 1.0,
    "src600_ports": 0.5,
    "dst60_failed": 2.0,
    "proto_tcp": -1.0,
    "proto_udp": 1.0,
    "proto_icmp": 3.0,
    "service_dns": 1.0,
    "service_ssh": 2.0,
    "resp_local": 1.5,
    "duration": -0.5,
}
USUAL = {
    "src60_ports": Usual(1, 2, 5),
    "src600_ports": Usual(1, 4, 9),
    "dst60_failed": Usual(0, 0.1, 0.5),
    "proto_tcp": Usual(0, 1, 1),
    "proto_udp": Usual(0, 0, 1),
    "proto_icmp": Usual(0, 0, 0),
    "service_dns": Usual(0, 0, 1),
    "service_ssh": Usual(0, 0, 0),
    "resp_local": Usual(0, 0, 0),
}


@pytest.fixture
def linear(make_bundle: Make) -> Ensemble:
    """Log-odds are a weighted sum, so that every drop can be told beforehand."""
    names = list(WEIGHTS)
    model = write_mlp([np.stack([np.zeros(len(names)), list(WEIGHTS.values())])], [np.zeros(2)])
    scaler = Scaler(
        mean=np.full(len(names), 0.5, np.float32),
        scale=np.ones(len(names), np.float32),
        fill=np.zeros(len(names), np.float32),
        clip=100.0,
    )
    bundle = make_bundle(
        features=names,
        usual=USUAL,
        scaler=scaler,
        members=[NewMember(model, BINARY_CLASSES)],
        calibration=Calibration(3.0, 1.0),
    )
    return Ensemble(bundle)


def row(**natural: float) -> np.ndarray:
    """A row that is usual but for the given values."""
    values = {name: usual.p50 for name, usual in USUAL.items()} | natural
    out = np.zeros((1, len(FEATURES)), np.float32)
    out[0, FEATURE_INDEX["duration"]] = 0.5  # the mean; its usual value is unknown
    for name, value in values.items():
        column = FEATURE_INDEX[name]
        out[0, column] = FEATURES[column].stored(value)
    return out


def texts(ensemble: Ensemble, rows: np.ndarray, top: int = 4) -> list[str]:
    return [reason.text() for reason in explain(ensemble, rows, top)[0]]


def test_a_share_and_its_usual_value(linear: Ensemble) -> None:
    assert texts(linear, row(dst60_failed=0.9)) == [
        "dst60_failed=90 % of the flows to the destination in 60 s unanswered (usual 10 %) +1.60"
    ]


def test_windows_of_one_count_are_one_reason(linear: Ensemble) -> None:
    rows = row(src60_ports=41, src600_ports=41)
    drop = np.log(42 / 3) + 0.5 * np.log(42 / 5)
    assert texts(linear, rows) == [
        f"src60_ports=41 ports contacted by the source in 60 s (usual 2) +{drop:.2f}"
    ]
    # the window that is furthest from usual is shown
    drop = np.log(4 / 3) + 0.5 * np.log(201 / 5)
    expected = [f"src600_ports=200 ports contacted by the source in 10 min (usual 4) +{drop:.2f}"]
    assert texts(linear, row(src60_ports=3, src600_ports=200)) == expected
    # counts end, and do not pretend to be exact there
    drop = np.log(4 / 3) + 0.5 * np.log(256 / 5)
    expected = [
        f"src600_ports=255 or more ports contacted by the source in 10 min (usual 4) +{drop:.2f}"
    ]
    assert texts(linear, row(src60_ports=3, src600_ports=400)) == expected


def test_protocol_flags_change_together(linear: Ensemble) -> None:
    assert texts(linear, row(proto_tcp=0, proto_icmp=1)) == ["proto=icmp (usual tcp) +4.00"]


def test_flags_without_majority_are_set_to_their_mean(linear: Ensemble) -> None:
    # usual is mixed: log-odds fall from 2 * 1 + 1 * 0 to .5 * 2 + .5 * 1
    assert texts(linear, row(service_ssh=1)) == ["service=ssh (usual mixed) +0.50"]
    # neither flag: log-odds would rise
    assert texts(linear, row()) == []


def test_flags_on_their_own_are_yes_or_no(linear: Ensemble) -> None:
    assert texts(linear, row(resp_local=1)) == [
        "resp_local=yes: the destination is in a local network (usual no) +1.50"
    ]


def test_missing_values_and_unknown_usual_values_are_named(linear: Ensemble) -> None:
    rows = row(duration=0)
    assert texts(linear, rows) == ["duration=0 ms long (usual unknown) +0.25"]
    rows[0, FEATURE_INDEX["dst60_failed"]] = np.nan  # filled with the mean, .5
    assert texts(linear, rows) == [
        "dst60_failed=missing (usual 10 %) +0.80",
        "duration=0 ms long (usual unknown) +0.25",
    ]


def test_only_the_strongest_and_only_what_raises_the_score(linear: Ensemble) -> None:
    rows = row(dst60_failed=0.9, src60_ports=41, proto_tcp=0, proto_icmp=1, duration=1e6)
    reasons = explain(linear, rows, top=2)[0]
    assert [reason.feature for reason in reasons] == ["proto", "src60_ports"]
    assert len(explain(linear, rows, top=9)[0]) == 3
    assert explain(linear, rows, top=0) == [[]]


def test_a_row_is_explained_alike_in_any_company(bundle: Bundle) -> None:
    rng = np.random.default_rng(5)
    rows = np.abs(rng.normal(size=(150, len(FEATURES)))).astype(np.float32)
    ensemble = Ensemble(bundle)
    together = explain(ensemble, rows)
    assert len(together) == 150
    assert any(together)
    for i in (0, 63, 64, 149):
        assert explain(ensemble, rows[i : i + 1]) == [together[i]]


def test_rows_are_not_changed(linear: Ensemble) -> None:
    rows = row(dst60_failed=0.9)
    before = rows.tobytes()
    explain(linear, rows)
    assert rows.tobytes() == before


def test_no_rows(linear: Ensemble) -> None:
    assert explain(linear, np.empty((0, len(FEATURES)), np.float32)) == []


def test_another_shape_is_refused(linear: Ensemble) -> None:
    with pytest.raises(ValueError, match="float32 matrix"):
        explain(linear, np.zeros((1, 3), np.float32))


def test_the_usual_value_can_be_called_otherwise() -> None:
    reason = Contribution("src60_ports", 41.0, 2.0, "ports", 1.826)
    assert reason.text("usual here") == (
        "src60_ports=41 ports contacted by the source in 60 s (usual here 2) +1.83"
    )


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_feature_has_words(feature: Feature) -> None:
    name = feature.name
    if feature.unit != "yes/no":
        said = phrase(name, 0.5)
        assert len(said.split()) >= 2
        assert amount(name, 0.5) in said
        assert re.search(r"\d", said)
    elif feature.family in ("proto", "service", "port"):
        # these are told together, by what names them
        assert phrase(feature.family, "ssh,http") == "ssh/http"
    else:
        yes, no = phrase(name, "yes"), phrase(name, "no")
        assert (yes[:5], no[:4]) == ("yes: ", "no: ")
        assert yes[5:] != no[4:]
    assert phrase(name, "missing") == "missing"
    # a comma would part the items of a list in Zeek's TSV
    assert "," not in phrase(name, "yes" if feature.unit == "yes/no" else 123456.0)


@pytest.mark.parametrize(
    ("feature", "value", "text"),
    [
        ("src60_ports", 41.00002, "41 ports contacted by the source in 60 s"),
        ("src3600_ports", 255.0, "255 or more ports contacted by the source in 1 h"),
        ("src600_failed", 0.996, "100 % of the source's flows in 10 min unanswered"),
        ("dst60_failed", 0.0312, "3.1 % of the flows to the destination in 60 s unanswered"),
        ("dst3600_bytes", 1_234_567.0, "1.2 MB sent to the destination in 1 h"),
        ("orig_payload", 0.0, "0 B of payload from the originator"),
        ("orig_ip_bytes", 999.6, "1 kB from the originator"),
        ("duration", 0.0421, "42 ms long"),
        ("duration", 90.0, "90 s long"),
        ("contact_interval", 3600.0, "60 min from one to the next of contacts with this port"),
        ("dst_age", 86_400.0, "24 h since the destination was first contacted in the hour"),
        (
            "contact_jitter",
            0.02,
            "2 % usual deviation of the interval between contacts with this port",
        ),
        (
            "contact_orig_mean",
            math.log1p(1500),
            "requests of about 1.5 kB in contacts with this port",
        ),
        (
            "lookup_resp_sd",
            math.log(4),
            "answer sizes within a factor of 4 in the client's DNS flows",
        ),
        (
            "payload_log_ratio",
            math.log(0.25),
            "0.25 times as much payload from the originator as from the responder",
        ),
        ("pkt_rate", 1e-9, "0 packets per second"),
        ("proto", "icmp", "icmp"),
        ("port", "well_known,admin", "well-known/admin"),
        ("pair_new", "yes", "yes: first contact of the two hosts in 1 h"),
    ],
)
def test_words(feature: str, value: float | str, text: str) -> None:
    assert phrase(feature, value) == text


def test_an_unknown_feature() -> None:
    with pytest.raises(KeyError):
        phrase("src60_wishes", 1.0)
