"""Host keys from address text, which say nothing but "the same host", and kinds of hosts.

Plain IPv4 text is parsed in compiled code straight from Arrow's buffers; everything else (IPv6,
scoped or mapped addresses) goes through `ipaddress`, with a bounded cache.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.features._addresses import LOCAL, MULTICAST, UNPARSED, parse_ipv4
from zeekml.features.feature_schema import LOCAL_NETS

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


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
        if parse_ipv4(data, offsets, self._v4_nets, self._v4_masks, keys, kinds):
            others = np.flatnonzero(kinds == UNPARSED)
            encoded = addresses.take(pa.array(others)).dictionary_encode(null_encoding="encode")
            hosts = [self._classify_other(text) for text in encoded.dictionary.to_pylist()]
            at = encoded.indices.to_numpy()
            keys[others] = np.array([key for key, _ in hosts], np.uint64)[at]
            kinds[others] = np.array([kind for _, kind in hosts], np.uint8)[at]
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
            keys, kinds = self(pa.array([str(address)]))
            return int(keys[0]), int(kinds[0])
        return _text_key(b"ipv6", address.packed), kind


def _text_key(domain: bytes, text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8, person=domain).digest(), "little")
