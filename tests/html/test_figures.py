"""Drawings: the same every time, without names that could do anything."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from zeekml.errors import ConfigError
from zeekml.html import figures
from zeekml.html.figures import LineSeries, Series, dots, heat_map, lines, require_matplotlib

NAMES = ["<script>$x_1$", "a\nb\x00\u202e", "日本 & 'x' --> \"y\"", "x" * 80]


def drawings() -> list[str]:
    values = [0.1, None, 0.5, 0.9]
    curve = LineSeries(NAMES[0], np.array([0.01, 0.1, 1.0]), np.array([0.02, 0.2, 1.0]))
    shares = np.array([[0.1, 0.9], [np.nan, 0.5]])
    return [
        dots(NAMES, [Series(NAMES[0], values, values, values), Series("b", values)], axis="PR-AUC"),
        lines([curve, curve], x_axis="x", y_axis="y", limits=(0.01, 1), logarithmic=True),
        heat_map(NAMES[:2], NAMES[2:], shares, x_axis="said", y_axis="labelled"),
    ]


def test_drawings_are_plain_svg_and_always_the_same() -> None:
    made = drawings()
    assert made == drawings()
    for svg in made:
        # well-formed, so no name broke out of its element
        root = ElementTree.fromstring(svg)
        kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert kinds <= {"svg", "defs", "style", "g", "path", "text", "use", "clipPath", "rect"}
        assert "currentColor" in svg
        assert "<!--" not in svg
        assert "math" not in svg
        assert svg.count("http") == svg.count("http://www.w3.org/")


def test_series_differ_by_more_than_colour() -> None:
    assert len(set(figures.MARKERS)) == len(figures.MARKERS) == len(figures.COLOURS)
    assert len(set(map(str, figures.STYLES))) == len(figures.COLOURS)


def test_missing_matplotlib_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'zeekml\[train\]'"):
        require_matplotlib()
