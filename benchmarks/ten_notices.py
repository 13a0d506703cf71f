"""Ten notices of a scored log, for docs/notices.md: what an analyst reads of them, and no more.

    zeekml train labelled --exclude office --out without-office ...
    zeekml score office/conn.log --bundle without-office --out scored
    python benchmarks/ten_notices.py scored > ten.md

Takes opening lines in the order of the log, at most two of a threat at first, until there are ten.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

TEN = 10
OF_A_THREAT = 2


def chosen(notices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ten of different threats, in the order of the log."""
    taken: list[int] = []
    for most in range(OF_A_THREAT, len(notices) + 1):
        counts: dict[str, int] = {}
        taken = []
        for number, notice in enumerate(notices):
            counts[notice["note"]] = counts.get(notice["note"], 0) + 1
            if counts[notice["note"]] <= most and len(taken) < TEN:
                taken.append(number)
        if len(taken) >= min(TEN, len(notices)):
            break
    return [notices[number] for number in taken]


def main() -> None:
    """Print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scored", type=Path, help="output directory of `zeekml score`")
    lines = (parser.parse_args().scored / "notice.log").read_text().splitlines()
    notices = [json.loads(line) for line in lines]
    for notice in chosen([n for n in notices if n["zeekml_state"] == "open"]):
        print(f"**{notice['msg']}**  ")
        attack = " ".join(notice["zeekml_attack"])
        sure = f"confidence {notice['zeekml_confidence']} %"
        print(f"{notice['note']}, {notice['zeekml_severity']}, {sure}, {attack}\n")
        print("".join(f"    {reason}\n" for reason in notice["zeekml_why"]))


if __name__ == "__main__":
    main()
