"""Host keys from address text, which say nothing but "the same host", and kinds of hosts.

Plain IPv4 text is parsed in compiled code straight from Arrow's buffers; everything else (IPv6,
scoped or mapped addresses) goes through `ipaddress`, with a bounded cache.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.core.jit import njit
from zeekml.features.feature_schema import LOCAL_NETS

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

LOCAL: Final = 1
MULTICAST: Final = 2  # and broadcast

_UNPARSED: Final = 0xFF


@njit(cache=True)
def mix(x: np.uint64) -> np.uint64:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that spreads all bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True)
def _parse_ipv4(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int32],
    nets: npt.NDArray[np.uint32],
    masks: npt.NDArray[np.uint32],
    keys: npt.NDArray[np.uint64],
    kinds: npt.NDArray[np.uint8],
) -> int:
    """Fill keys and kinds of the plain IPv4 rows; return how many rows are something else."""
    others = 0
    for i in range(len(offsets) - 1):
        address = np.uint32(0)
        octet = 0
        digits = 0
        dots = 0
        valid = True
        for j in range(offsets[i], offsets[i + 1]):
            c = data[j]
            if 48 <= c <= 57:
                octet = octet * 10 + (c - 48)
                digits += 1
                if digits > 3 or octet > 255:
                    valid = False
                    break
            elif c == 46 and digits > 0 and dots < 3:
                address = (address << np.uint32(8)) | np.uint32(octet)
                octet = 0
                digits = 0
                dots += 1
            else:
                valid = False
                break
        if not valid or dots != 3 or digits == 0:
            kinds[i] = 0xFF
            others += 1
            continue
        address = (address << np.uint32(8)) | np.uint32(octet)
        keys[i] = mix(np.uint64(address) + np.uint64(0x9E3779B97F4A7C15))
        kind = 0
        for k in range(len(nets)):
            if (address & masks[k]) == nets[k]:
                kind = 1
                break
        first = address >> np.uint32(24)
        if 224 <= first <= 239 or first == 255:
            kind |= 2
        kinds[i] = kind
    return others


class HostClassifier:
    """Turns addresses into 64-bit keys and local/multicast flags.

    Local is what is in one of the networks (CIDR notation), whatever the sensor logged.
    """

    def __init__(self, local_nets: Sequence[str] = LOCAL_NETS) -> None:
        nets = [ipaddress.ip_network(n) for n in local_nets]
        v4 = [n for n in nets if n.version == 4]
        self._v4_nets = np.array([int(n.network_address) for n in v4], np.uint32)
        self._v4_masks = np.array([int(n.netmask) for n in v4], np.uint32)
        self._nets: tuple[IPNetwork, ...] = tuple(nets)
        self._classify_other = lru_cache(maxsize=65536)(self._classify)

    def __call__(
        self, addresses: pa.StringArray
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
        """Key (n,) and kind bits (n,) of each address; text that is no address keys as text."""
        n = len(addresses)
        keys = np.zeros(n, np.uint64)
        kinds = np.zeros(n, np.uint8)
        if n == 0:
            return keys, kinds
        begin = addresses.offset
        _, offsets_buffer, data_buffer = addresses.buffers()
        offsets = np.frombuffer(offsets_buffer, np.int32)[begin : begin + n + 1]
        data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.zeros(0, np.uint8)
        if _parse_ipv4(data, offsets, self._v4_nets, self._v4_masks, keys, kinds):
            for i in np.flatnonzero(kinds == _UNPARSED):
                keys[i], kinds[i] = self._classify_other(addresses[int(i)].as_py())
        return keys, kinds

    def _classify(self, text: str | None) -> tuple[int, int]:
        try:
            address: Any = ipaddress.ip_address(text or "")
        except ValueError:
            return _text_key(b"text", (text or "").encode(errors="replace")), 0
        address = getattr(address, "ipv4_mapped", None) or address
        kind = LOCAL if any(address in n for n in self._nets) else 0
        if address.is_multicast or str(address) == "255.255.255.255":
            kind |= MULTICAST
        if address.version == 4:  # reached through a mapped address: the same host as the plain one
            return int(self(pa.array([str(address)]))[0][0]), kind
        return _text_key(b"ipv6", address.packed), kind


def _text_key(domain: bytes, text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8, person=domain).digest(), "little")
