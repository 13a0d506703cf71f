"""What a small process does not hold, looked at in a process of its own."""

from __future__ import annotations

from pathlib import Path

from own_process import outcome

ROOT = Path(__file__).parents[2]

# the scores of the sample's flows, and what is in memory, before and after
SCRIPT = """
import json, re, sys
from pathlib import Path
from zeekml.core.arrow import do_without_pandas
from zeekml.live.memory_trim import shed_library_pages
do_without_pandas()
import zeekml
from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import discover
from zeekml.detection.policy import load_policy
from zeekml.pipeline import Pipeline

def of_files():
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"RssFile:\\s+(\\d+)", status)[0]) // 1024

batches = flows_of(discover([Path(sys.argv[1])])).to_batches()
bundle, policy = zeekml.load_bundle(), load_policy(None)

def run(shed):
    pipeline = Pipeline(bundle, policy, sensor="zeek", stream="sample")
    found = []
    for batch in batches:
        for begin in range(0, batch.num_rows, 500):
            if shed:
                shed_library_pages()
            scored, notices = pipeline.feed(batch.slice(begin, 500))
            found.append(scored.scores.score.tobytes().hex())
            found += [notice.id for notice in notices]
    return found + [notice.id for notice in pipeline.close()]

first = run(False)
before = of_files()
shed_library_pages()
after = of_files()
again = run(True)
print(json.dumps({
    "same": first == again, "found": len(first), "before": before, "after": after,
    "strangers": sorted({name.partition(".")[0] for name in sys.modules}
                        & {"pandas", "sklearn", "tensorflow", "keras", "matplotlib"}),
}))
"""


def test_a_small_process_gives_the_same_results() -> None:
    told = outcome(SCRIPT, str(ROOT / "sample_logs" / "zeek_tsv"))
    assert told["same"]
    assert told["found"] > 5
    assert told["before"] > 60  # MB
    assert told["after"] < told["before"] / 4
    assert told["strangers"] == []
