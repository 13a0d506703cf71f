from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from zeekml.datasets.environment import Environment
from zeekml.features.feature_schema import EVENT_START
from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import DNS, EVENTS, HTTP, KINDS, LONGEST_TEXT, TLS
from zeekml.training.synthetic.episode_events import Wording, events_of, style_of
from zeekml.training.synthetic.flow_records import join
from zeekml.training.synthetic.inject import KINDS as TRAFFIC_KINDS
from zeekml.training.synthetic.inject import inject
from zeekml.training.synthetic.traffic_context import TrafficContext, TrafficKind
from zeekml.training.training_rows import synthetic_rows

Make = Callable[..., Environment]
_SERVICES = {"dns": DNS, "http": HTTP, "ssl": TLS}


@pytest.fixture
def environment(make_environment: Make) -> Environment:
    return make_environment()


def with_events(environment: Environment) -> pa.Table:
    """Its flows, the first of which said something."""
    flows = environment.flows
    at = flows.schema.get_field_index("events")
    said = [Event(DNS, 1.0, "www.example.net", "A", rcode="NOERROR")._asdict()]
    column = pa.array([said, *[None] * (len(flows) - 1)], EVENTS)
    return flows.set_column(at, flows.schema.field(at), column)


@pytest.mark.parametrize("kind", TRAFFIC_KINDS, ids=lambda kind: kind.name)
def test_flows_say_what_a_sensor_could_log(kind: TrafficKind, environment: Environment) -> None:
    for seed in range(10):
        site = TrafficContext(environment.flows, np.random.default_rng(seed))
        wording = Wording(site)
        style = style_of(kind.name, wording)
        rows = join(list(kind.make(site)))
        said = events_of(rows, style, wording)
        assert len(said) == len(rows["ts"])
        for service, events in zip(rows["service"], said, strict=True):
            assert (events is None) is (service not in _SERVICES)
            for event in events or ():
                assert event["kind"] == _SERVICES[service]
                assert event["kind"] in KINDS
                texts = [text for text in event.values() if isinstance(text, str)]
                assert all(text.isprintable() and len(text) <= LONGEST_TEXT for text in texts)
                if event["kind"] == DNS:
                    # every name can stand in a query
                    assert all(0 < len(label) <= 63 for label in event["name"].split("."))
        pa.array(said, EVENTS)  # all have the form of events


def test_a_query_that_carries_data_is_as_long_as_its_flow(environment: Environment) -> None:
    (tunnel,) = [kind for kind in TRAFFIC_KINDS if kind.name == "DNS tunnel"]
    site = TrafficContext(environment.flows, np.random.default_rng(3))
    wording = Wording(site)
    rows = next(iter(tunnel.make(site)))
    said = events_of(rows, style_of(tunnel.name, wording), wording)
    names = [events[0]["name"] for events in said if events]
    assert len(set(names)) > 0.9 * len(names)
    assert len({name.split(".", name.count(".") - 1)[-1] for name in names}) == 1
    payload = rows["orig_bytes"][rows["orig_bytes"] < 200]
    lengths = np.array([len(name) for name in names])[rows["orig_bytes"] < 200]
    assert np.corrcoef(payload, lengths)[0, 1] > 0.9


def test_attacks_speak_only_where_benign_traffic_does(environment: Environment) -> None:
    rng = np.random.default_rng(1)
    silent = inject(environment.flows, rng, TRAFFIC_KINDS, source="e").flows["events"]
    assert silent.null_count == len(silent)
    rng = np.random.default_rng(1)
    said = inject(with_events(environment), rng, TRAFFIC_KINDS, source="e")
    injected = pa.array(said.labels > 0)
    events = said.flows["events"].filter(injected)
    assert 0 < events.null_count < len(events)
    benign = said.flows["events"].filter(pa.array(said.labels == 0))
    assert [{"kind": DNS, "name": "www.example.net"}] in [
        [{key: event[key] for key in ("kind", "name")} for event in found or ()]
        for found in benign.to_pylist()
    ]


def test_features_of_synthetic_copies_know_what_was_said(environment: Environment) -> None:
    speaking = replace(environment, flows=with_events(environment))
    matrix, labels = synthetic_rows(speaking, seed=1)
    known = ~np.isnan(matrix[:, EVENT_START:]).all(axis=1)
    assert np.any(known & (labels > 0))
    silent, _ = synthetic_rows(environment, seed=1)
    assert np.isnan(silent[:, EVENT_START:]).all()
