"""Kinds of hosts, as bits."""

cpdef enum:
    LOCAL = 1
    MULTICAST = 2  # and broadcast
    UNPARSED = 0xFF  # no plain IPv4 address
