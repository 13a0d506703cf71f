"""Transport protocols by number, as `FlowColumns` holds them."""

cpdef enum:
    TCP = 0
    UDP = 1
    ICMP = 2
    OTHER_PROTO = 3
