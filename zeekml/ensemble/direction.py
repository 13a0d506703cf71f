"""What the direction of a flow says about its threat, whatever members take it for.

Who is commanded asks; who commands answers. A web server of one's own that is asked is attacked,
or has a web shell in it: it does not command its clients. Members confuse the two, since a shell
behind a web page answers as a command server does; so what they give to c2 on such a flow counts
for web.

Inside, a server may command others of its network (lateral movement, redirectors). So between two
local hosts only what is known to be plain HTTP is taken for web.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.ensemble.classes import THREATS
from zeekml.features.feature_schema import FEATURE_INDEX

_C2: Final = THREATS.index("c2")
_WEB: Final = THREATS.index("web")
_ORIG_LOCAL: Final = FEATURE_INDEX["orig_local"]
_RESP_LOCAL: Final = FEATURE_INDEX["resp_local"]
_HTTP: Final = FEATURE_INDEX["service_http"]
_TLS: Final = FEATURE_INDEX["service_ssl"]
_WEB_PORT: Final = FEATURE_INDEX["port_web"]


def asks_own_web_server(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """The rows of a feature matrix in which a web server inside is asked.

    From outside by HTTP, by TLS or at a usual web port; from inside by HTTP. What is missing says
    nothing.
    """
    rows = np.flatnonzero(matrix[:, _RESP_LOCAL] > 0)
    http = matrix[rows, _HTTP] > 0
    web = http | (matrix[rows, _TLS] > 0) | (matrix[rows, _WEB_PORT] > 0)
    return rows[http | (web & (matrix[rows, _ORIG_LOCAL] == 0))]


def name_by_direction(
    matrix: npt.NDArray[np.float32],
    shares: npt.NDArray[np.float64],
    likeliest: npt.NDArray[np.int8],
) -> None:
    """Change P(threat | malicious) (rows, threats), and the likeliest threat (rows,), in place."""
    rows = asks_own_web_server(matrix)
    if not len(rows):
        return
    moved = shares[rows]
    moved[:, _WEB] += moved[:, _C2]
    moved[:, _C2] = 0.0
    shares[rows] = moved
    # of equals the first, as where members are averaged
    likeliest[rows] = moved.argmax(axis=1)
