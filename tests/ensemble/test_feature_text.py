from __future__ import annotations

import math
import re

import pytest

from zeekml.ensemble.feature_text import amount, phrase
from zeekml.features.feature_schema import FEATURES, Feature


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
