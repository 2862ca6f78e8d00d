"""docs/observability.md has the names that are used."""

import re
from pathlib import Path

from clipline.entrypoints.report import STAGES
from clipline.entrypoints.telemetry.measures import MEASURES

TEXT = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()


def test_every_metric_stands_in_the_table():
    rows = re.findall(r"^\| `(clipline_\w+)` \| `(\w+)` \| (\w+) \| (.*) \|$", TEXT, re.MULTILINE)
    assert rows == [
        (one.prometheus, one.cloudwatch, str(one.unit), ", ".join(f"`{label}`" for label in one.labels))
        for one in MEASURES
    ]


def test_every_stage_is_named():
    sentence = re.search(r"^The stages are (.*)$", TEXT, re.MULTILINE)[1]
    assert re.findall(r"`(\w+)`", sentence) == list(STAGES)
