"""What a few labels bring on a network that a bundle was not trained on, and whether they do harm.

    python benchmarks/adapting.py NAME=DATASET --bundle DIR [--lower 1] [--labels 5 10] [--draws 10]
                                  [--mixed] [--shuffle] [--gate-alone] [--json]

DATASET is what `zeekml train` takes, and must not be among what the bundle learned from. How it is
done is told in `zeekml.adaptation.label_study`; `zeekml evaluate --adapting` does so for every
network held out. Printed are medians and the worst over the draws.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import markdown_table

from zeekml.adaptation.label_study import Draws, LabelledNetwork, study_labels
from zeekml.datasets.read import collect
from zeekml.ensemble.bundle import load_bundle
from zeekml.errors import ZeekmlError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", metavar="NAME=DATASET")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--lower", type=float, help="of the log-odds [default: as far as needed]")
    parser.add_argument("--labels", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--mixed", action="store_true", help="not false alarms alone")
    parser.add_argument("--shuffle", action="store_true", help="labels that say nothing")
    parser.add_argument("--gate-alone", action="store_true", help="without what is beside it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    outcomes = []
    try:
        (environment,) = collect([options.dataset]).environments
        with TemporaryDirectory(prefix="zeekml-") as work:
            bundle = load_bundle(options.bundle)
            network = LabelledNetwork(environment, bundle, Path(work), options.lower)
            for count in options.labels:
                wanted = Draws(count, options.draws, options.mixed, options.shuffle)
                outcomes += study_labels(network, wanted, beside=not options.gate_alone)
    except ZeekmlError as error:
        print(f"adapting.py: {error}", file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps([outcome.as_dict() for outcome in outcomes], indent=2))
        return 0
    print(f"thresholds lowered by {network.lowered:g}\n")
    rows = [outcome.row() for outcome in outcomes]
    print(markdown_table(list(rows[0]), [list(row.values()) for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
