"""The drawing of the timeline."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Final

from zeekml.detection.notice import SEVERITIES
from zeekml.triage.incident_list import Timeline
from zeekml.triage.timeline_chart import COLUMNS, timeline_svg

BEGIN: Final = 1_795_430_400.0  # 2026-11-23 10:40:00 UTC


def drawn(**counts: list[int]) -> ET.Element:
    empty = [0] * COLUMNS
    line = Timeline(BEGIN, 60.0, {s: counts.get(s, empty) for s in SEVERITIES})
    return ET.fromstring(timeline_svg(line))


def test_there_is_a_bar_for_each_span_with_incidents() -> None:
    high = [2, 0, 1] + [0] * (COLUMNS - 3)
    picture = drawn(high=high)
    heights = [float(bar.attrib["height"]) for bar in picture.iter("rect")]
    assert len(heights) == 2
    assert heights[0] == 2 * heights[1]
    said = [text.text for text in picture.iter("text")]
    assert said[:4] == ["critical 0", "high 3", "medium 0", "low 0"]
    assert said[4:] == ["2026-11-23 10:40 UTC", "2026-11-23 11:40 UTC"]


def test_what_lies_before_the_first_is_left_out() -> None:
    picture = drawn(low=[0] * (COLUMNS - 20) + [1] * 20)
    assert len(list(picture.iter("rect"))) == 20
    assert [text.text for text in picture.iter("text")][4] == "2026-11-23 11:10 UTC"


def test_bars_stay_in_the_picture_and_colours_differ() -> None:
    picture = drawn(**{s: list(range(COLUMNS)) for s in SEVERITIES})
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for bar in picture.iter("rect"):
        assert 0.0 <= float(bar.attrib["x"]) <= width - float(bar.attrib["width"])
        assert 0.0 <= float(bar.attrib["y"]) <= height - float(bar.attrib["height"])
    assert len({bar.attrib["fill"] for bar in picture.iter("rect")}) == len(SEVERITIES)
