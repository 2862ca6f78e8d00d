"""`pip install` of the wheel gives the whole product, with nothing but its declared dependencies."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = ROOT / ".tools" / "uv" / "bin" / "uv"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", directory]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = directory.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_its_license_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    kinds = {".py", ".typed", ".html", ".css", ".js", ".svg"}
    source = [path for path in (ROOT / "src").rglob("*") if path.suffix in kinds]
    modules = {str(path.relative_to(ROOT / "src")) for path in source}
    assert {name for name in names if ".dist-info/" not in name} == modules
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_installed_wheel_runs_the_main_job(wheel, data, tmp_path, no_settings):
    if not UV.exists():
        if os.environ.get("CI"):
            pytest.fail("uv is not there: run `make test`")
        pytest.skip("uv is not there: run `make test`")
    environment = {**os.environ, "TERM": "dumb"}
    environment.pop("PYTHONPATH", None)
    environment.pop("VIRTUAL_ENV", None)

    def run(*command):
        given = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 200}
        result = subprocess.run(list(map(str, command)), **given)
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    run(UV, "venv", "--python", sys.executable, "venv")
    run(UV, "pip", "install", "--python", "venv/bin/python", "--link-mode", "copy", wheel)
    assert "clipline" in run("venv/bin/clipline", "--version")
    assert "CLIP_AVAILABLE" in run("venv/bin/clipline", "demo", "--data", "data")
    run("venv/bin/python", "-c", "import clipline.entrypoints.lambda_function")
