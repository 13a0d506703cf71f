import numpy as np
import numpy.typing as npt

from zeekml.core.hash_table import HashTable
from zeekml.pairs.layout import Records

FULL: int
SWEEP: int
CROWDED: int

class Store:
    def __init__(
        self,
        position: Records,
        pairs: Records,
        pair_table: HashTable,
        sources: Records,
        source_table: HashTable,
        destinations: Records,
        destination_table: HashTable,
        changed: npt.NDArray[np.uint8],
    ) -> None: ...
    def take(self, contacts: Records, looks: Records) -> int: ...
    def remove(self, place: int) -> None: ...
