"""The documents say what is true: settings, targets, samples, links, sizes."""

import re
import subprocess
from pathlib import Path

import pytest

from clipline.settings import Settings, load_settings, local_settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMPUTED = {
    "clip_download_dest": "the system's temporary directory",
    "worker_concurrency": "number of CPUs",
}
PER_ENVIRONMENT = {"CLIP_URL", "S3_BUCKET_DESTINATION", "AWS_SNS_TOPIC", "AWS_SQS_QUEUE", "AWS_SQS_QUEUE_URL"}
"""What the requirements say differs between environments."""


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_stands_in_the_readme(name):
    field = Settings.model_fields[name]
    default = field.default
    if isinstance(default, tuple):
        default = " ".join(map(str, default))
    text = "required" if field.is_required() else f"`{default}`" if default not in ("", None) else ""
    row = f"| `{name.upper()}` | {COMPUTED.get(name, text)} | {field.description} |"
    assert row in README.splitlines()


def test_the_readme_names_no_setting_that_is_not_there():
    table = README[README.index("| variable | default |") :]
    named = re.findall(r"^\| `([A-Z0-9_]+)` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)


def sample(name):
    lines = (ROOT / f".env.sample_{name}").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("name", ["local", "sandbox", "staging", "prod"])
def test_each_sample_loads_and_names_known_settings(name, no_settings):
    load_settings(ROOT / f".env.sample_{name}")
    assert {key.lower() for key in sample(name)} <= set(Settings.model_fields)


def test_the_local_sample_is_what_the_demonstration_uses(no_settings):
    assert load_settings(ROOT / ".env.sample_local") == local_settings(Path("data"))


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_samples_differ_where_the_requirements_say(name):
    sandbox = {key: value.replace("sandbox", name) for key, value in sample("sandbox").items()}
    assert sandbox == sample(name)
    differing = {key for key, value in sample(name).items() if value != sample("sandbox")[key]}
    assert differing >= PER_ENVIRONMENT
    assert differing - PER_ENVIRONMENT <= {"CAM_SERVICES_URL", "RECORDINGS_URL"}


def make(*arguments):
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_make_lists_every_target():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    listed = make().stdout.splitlines()
    assert [line.split()[1] for line in listed] == targets
    assert all(len(line.split()) > 3 for line in listed)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_and_link_in_a_document_exists(document):
    text = document.read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split())
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert link.startswith("https://") or (document.parent / link).exists(), link


@pytest.mark.parametrize("target", ["build", "deploy"])
def test_what_is_not_there_yet_says_so(target):
    result = make(target)
    assert result.returncode != 0
    assert "not there yet" in result.stderr


def test_no_module_is_too_long():
    modules = [
        path for folder in ("src", "tests", "scripts", "benchmarks") for path in (ROOT / folder).rglob("*.py")
    ]
    lengths = {str(path): len(path.read_text().splitlines()) for path in modules}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_every_guarantee_names_tests_that_exist():
    text = (ROOT / "docs" / "guarantees.md").read_text()
    rows = [
        line
        for line in text.splitlines()
        if line.startswith("| ") and not line.endswith(("shown by |", "test fails |"))
    ]
    named = [re.findall(r"`(tests/[\w/]+(?:\.py)?)(?:::(\w+))?", row) for row in rows]
    assert all(named), [row for row, tests in zip(rows, named, strict=True) if not tests]
    for path, test in sorted({one for tests in named for one in tests}):
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(), f"{path}::{test}"
