from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.features.flow_features import FlowColumns

TCP: Final[int]
UDP: Final[int]
ICMP: Final[int]
OTHER_PROTO: Final[int]

def write_flow_features(columns: FlowColumns, out: npt.NDArray[np.float32]) -> None: ...
