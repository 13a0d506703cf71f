# cython: boundscheck=True
"""Plain IPv4 text, straight from Arrow's buffers."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from zeekml.features._hashes cimport mix


def parse_ipv4(
    const uint8_t[::1] data,
    const int32_t[::1] offsets,
    const uint32_t[::1] nets,
    const uint32_t[::1] masks,
    uint64_t[::1] keys,
    uint8_t[::1] kinds,
):
    """Fill keys and kinds of the plain IPv4 rows; return how many rows are something else."""
    cdef int64_t others = 0
    cdef uint32_t address, octet, first
    cdef uint8_t kind
    cdef int c, digits, dots
    cdef bint valid
    cdef Py_ssize_t i, k
    cdef int32_t j
    with nogil:
        for i in range(offsets.shape[0] - 1):
            address = octet = 0
            digits = dots = 0
            valid = True
            for j in range(offsets[i], offsets[i + 1]):
                c = data[j]
                if c'0' <= c <= c'9':
                    octet = octet * 10 + <uint32_t>(c - c'0')
                    digits += 1
                    if digits > 3 or octet > 255:
                        valid = False
                        break
                elif c == c'.' and digits > 0 and dots < 3:
                    address = address << 8 | octet
                    octet = 0
                    digits = 0
                    dots += 1
                else:
                    valid = False
                    break
            if not valid or dots != 3 or digits == 0:
                kinds[i] = UNPARSED
                others += 1
                continue
            address = address << 8 | octet
            keys[i] = mix(<uint64_t>address + <uint64_t>0x9E3779B97F4A7C15)
            kind = 0
            for k in range(nets.shape[0]):
                if address & masks[k] == nets[k]:
                    kind = LOCAL
                    break
            first = address >> 24
            # nearly all networks of hosts have 254 addresses, or parts of that at the same place
            if 224 <= first <= 239 or first == 255 or (kind == LOCAL and address & 255 == 255):
                kind |= MULTICAST
            kinds[i] = kind
    return others
