# cython: boundscheck=True
"""What a `FlowMemory` does with many lines at once."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t


cdef class Limits:
    """How much is remembered: flows, and of a flow things of each kind, by the kind's letter.

    `forgotten` counts the flows for which there was no room any more.
    """

    cdef Py_ssize_t flows
    cdef int[256] of_kind
    cdef readonly Py_ssize_t forgotten

    def __init__(self, Py_ssize_t flows, dict of_kind):
        cdef int letter
        self.flows = flows
        self.forgotten = 0
        for letter in range(256):
            self.of_kind[letter] = of_kind.get(letter, 0)


cdef inline uint8_t kind_of(bytes one) except? 0:
    if PyBytes_GET_SIZE(one) == 0:
        raise ValueError("what is to be remembered of a flow has no kind")
    return <uint8_t>PyBytes_AS_STRING(one)[0]


cpdef remember(dict flows, flow_id, bytes one, Limits limits):
    """Remember one thing of a flow, unless it is known or there are enough of its kind."""
    cdef list known = flows.pop(flow_id, None)
    cdef uint8_t kind
    cdef int count = 0
    cdef bytes other
    # the one heard of last comes last
    if known is None:
        flows[flow_id] = [one]
        if len(flows) > limits.flows:
            del flows[next(iter(flows))]
            limits.forgotten += 1
        return
    flows[flow_id] = known
    kind = kind_of(one)
    for other in known:
        if kind_of(other) == kind:
            count += 1
            if other == one:
                return
    if count < limits.of_kind[kind]:
        known.append(one)


def exchange(
    dict flows,
    Limits limits not None,
    const int64_t[::1] event_lines,
    list event_flows,
    list events,
    const int64_t[::1] lines,
    list asking,
):
    """Remember events and answer flows, in the order of their lines; what each flow is answered."""
    cdef Py_ssize_t row, at = 0, count = event_lines.shape[0]
    cdef list answers = []
    if len(event_flows) != count or len(events) != count or len(asking) != lines.shape[0]:
        raise ValueError("lines are missing")
    for row in range(lines.shape[0]):
        while at < count and event_lines[at] < lines[row]:
            remember(flows, event_flows[at], events[at], limits)
            at += 1
        answers.append(None if asking[row] is None else flows.pop(asking[row], None))
    while at < count:
        remember(flows, event_flows[at], events[at], limits)
        at += 1
    return answers
