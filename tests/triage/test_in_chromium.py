"""The page in a real browser: nothing of a log runs, it is dark in the dark, and it prints."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import pytest

from zeekml.batch.run import ScoreJob, score
from zeekml.config import Config
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import load_bundle
from zeekml.outputs import OutputOptions
from zeekml.readers.files.discovery import discover
from zeekml.triage.score_report import score_report, write_score_report

LOG = Path(__file__).parents[2] / "sample_logs" / "zeek_tsv" / "conn.log"
BROWSER = shutil.which("chromium")
# would be seen in the page's title, its elements, or its styles if it were more than text
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "</style></td></table><style>*{display:none}</style><svg onload=document.title='owned'>"
)

pytestmark = [
    pytest.mark.apt,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium (.ci/install-packages)"),
]

Browse = Callable[..., str]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about a log with hostile uids, services and lines."""
    directory = tmp_path_factory.mktemp("browser")
    lines = []
    for line in LOG.read_bytes().splitlines(keepends=True):
        cells = line.split(b"\t")
        if not line.startswith(b"#"):
            if b"198.51.100.99" not in line:
                continue
            cells[1] = cells[7] = HOSTILE.encode()
        lines.append(b"\t".join(cells))
    log = directory / "conn.log"
    log.write_bytes(b"".join(lines) + HOSTILE.encode() + b"\n")
    out = directory / "out"
    score(discover([str(log)]), ScoreJob(out, Config(), options=OutputOptions()))
    path = directory / "page.html"
    write_score_report(score_report(out, load_bundle(), load_policy()), path)
    return path


@pytest.fixture
def browse(page: Path, tmp_path: Path) -> Browse:
    def run(*options: str) -> str:
        done = subprocess.run(
            [
                str(BROWSER),
                *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                f"--user-data-dir={tmp_path / 'profile'}",
                *options,
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout

    return run


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.title = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["title"]:
            self.title += data.strip()


def test_what_the_browser_makes_of_it(browse: Browse, page: Path) -> None:
    assert "&lt;script&gt;" in page.read_text()  # the hostile text is there
    found = Elements()
    found.feed(browse("--dump-dom"))
    assert found.title == "What zeekml found"
    assert not {"script", "img", "iframe", "object", "link"} & set(found.tags)
    assert found.tags.count("style") == 1
    assert found.tags.count("svg") == 1
    written = Elements()
    written.feed(page.read_text())
    # the browser closes and moves nothing: it saw the elements that were written
    assert found.tags == written.tags


def brightness(path: Path) -> float:
    return float(matplotlib.image.imread(path)[..., :3].mean())


def test_light_and_dark(browse: Browse, tmp_path: Path) -> None:
    light, dark = tmp_path / "light.png", tmp_path / "dark.png"
    size = "--window-size=1200,1600"
    browse(size, f"--screenshot={light}")
    browse(size, f"--screenshot={dark}", "--blink-settings=preferredColorScheme=0")
    assert brightness(light) > 0.85
    assert brightness(dark) < 0.3


def test_it_prints(browse: Browse, tmp_path: Path) -> None:
    paper = tmp_path / "page.pdf"
    browse(f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF-")
    assert paper.stat().st_size > 10_000


def test_it_fetches_nothing(browse: Browse, tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    browse("--dump-dom", f"--log-net-log={log}")
    events = json.loads(log.read_text())["events"]
    asked = {
        event["params"]["url"]
        for event in events
        if isinstance(event.get("params"), dict) and "url" in event["params"]
    }
    # whatever the browser asks for on its own account, it is not for the page
    assert not [url for url in asked if url.startswith("file:") and "page.html" not in url]
    assert not [url for url in asked if url.endswith("/x")]
