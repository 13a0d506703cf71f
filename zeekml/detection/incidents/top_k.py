"""The `top` highest rows of sliding windows, without looking at the windows.

A row that `top` newer rows equal or exceed can never again be among the highest, since those
outlive it: it leaves the ranking. What remains is about top * ln(rows / top) long when values come
in any order. Each row is overtaken at most `top` times, which bounds the work.
"""

from __future__ import annotations

from zeekml.detection.incidents.compile import compiled
from zeekml.detection.incidents.window_arrays import NONE, Windows


@compiled
def enter_ranking(w: Windows, ranking: int, g: int, row: int) -> None:
    """Take in the newest row of a group; of equals it is the higher one."""
    measure, top = w.layout[0].measure[ranking], w.layout[0].top[ranking]
    value = w.rows[row].values[measure]
    below = NONE
    at = w.groups[g].lowest[ranking]
    while at != NONE and w.rows[at].values[measure] <= value:
        link = w.links[at]
        above = link.higher[ranking]
        link.beaten[ranking] += 1
        if link.beaten[ranking] >= top:
            leave_ranking(w, ranking, g, at)
        else:
            below = at
        at = above
    link = w.links[row]
    link.beaten[ranking] = 0
    link.higher[ranking] = at
    link.lower[ranking] = below
    if at == NONE:
        w.groups[g].highest[ranking] = row
    else:
        w.links[at].lower[ranking] = row
    if below == NONE:
        w.groups[g].lowest[ranking] = row
    else:
        w.links[below].higher[ranking] = row


@compiled
def leave_ranking(w: Windows, ranking: int, g: int, row: int) -> None:
    """Take a row out, if it is in."""
    link = w.links[row]
    if link.beaten[ranking] == NONE:
        return
    link.beaten[ranking] = NONE
    above, below = link.higher[ranking], link.lower[ranking]
    if above == NONE:
        w.groups[g].highest[ranking] = below
    else:
        w.links[above].lower[ranking] = below
    if below == NONE:
        w.groups[g].lowest[ranking] = above
    else:
        w.links[below].higher[ranking] = above


@compiled
def sum_of_best(w: Windows, ranking: int, g: int, measure: int) -> int:
    """The sum of a measure over the `top` highest rows of a group."""
    total = 0
    row = w.groups[g].highest[ranking]
    for _ in range(w.layout[0].top[ranking]):
        if row == NONE:
            break
        total += w.rows[row].values[measure]
        row = w.links[row].lower[ranking]
    return total
