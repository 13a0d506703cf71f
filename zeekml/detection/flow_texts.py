"""What the events of flows say in words, as far as notices quote it and the allowlist asks for it.

Nothing of this is a score input: it is what a person would look up.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.readers.events.event_schema import TLS

TEXT_COLUMNS: Final = ("names", "server_names", "agents", "certificates")
"""Columns of texts (flows,): the names asked for, those of them by TLS, the user agents, and the
servers' certificates, with who signed them."""

_TEXTS: Final = pa.list_(pa.string())


def flow_texts(events: pa.ListArray) -> list[pa.ListArray]:
    """`TEXT_COLUMNS` of a column of events (flows,); lists are empty where there are none."""
    if events.null_count == len(events):
        offsets = pa.array(np.zeros(len(events) + 1, np.int32))
        nothing = pa.ListArray.from_arrays(offsets, pa.array([], pa.string()))
        return [nothing] * len(TEXT_COLUMNS)
    values = events.flatten()
    lengths = pc.fill_null(pc.list_value_length(events), 0).to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(events)), lengths)
    names, subjects = values.field("name"), values.field("subject")
    by_tls = pc.equal(values.field("kind"), TLS)
    server_names = pc.if_else(by_tls, names, pa.scalar(None, pa.string()))
    issuers = pc.fill_null(values.field("issuer"), "nobody named")
    own = pc.fill_null(pc.equal(subjects, issuers), False)
    signed = pc.if_else(own, "its owner", issuers)
    certificates = pc.binary_join_element_wise(subjects, signed, ", signed by ")
    texts = names, server_names, values.field("user_agent"), certificates
    return [_lists(column, rows, len(events)) for column in texts]


def _lists(texts: pa.StringArray, rows: npt.NDArray[np.int64], count: int) -> pa.ListArray:
    """The texts that are there, by the row that each belongs to."""
    there = texts.is_valid()
    counts = np.bincount(rows[there.to_numpy(zero_copy_only=False)], minlength=count)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), texts.filter(there))
