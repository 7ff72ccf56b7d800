"""The client by itself: its wheel in a clean environment, under every Python that it supports and this machine has."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.small_graph import AMOUNT, small_graph
from tests.service import ROOT

SUPPORTED = ["3.10", "3.11", "3.12", "3.13"]
UV = Path(sys.executable).with_name("uv")
SECONDS = 60
"""To install; from a cache it is one or two."""


def interpreter(version: str) -> Path | None:
    """One of the search path, of pyenv or of uv, that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    managed = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", Path.home() / ".local/share/uv/python"))
    places = [
        shutil.which(f"python{version}"),
        *pyenv.glob(f"{version}.*/bin/python"),
        *managed.glob(f"*-{version}.*/bin/python"),
    ]
    for place in places:
        if place is not None:
            ran = subprocess.run([place, "--version"], capture_output=True, text=True, check=False)
            if ran.stdout.startswith(f"Python {version}."):
                return Path(place)
    return None


SMOKE = """
import asyncio, importlib, importlib.util, pkgutil, sys
import headwater
url, start, folder = sys.argv[1:]
for name in ("numpy", "pandas", "sklearn", "graph", "app"):
    assert importlib.util.find_spec(name) is None, name
for module in pkgutil.walk_packages(headwater.__path__, "headwater."):
    if module.name not in ("headwater.__main__", "headwater.offline"):  # the latter is of an extra
        importlib.import_module(module.name)
with headwater.Client(url, spool=folder + "/spool.db") as client:
    reached = client.impact(start)
    assert "downstream of amount" in repr(reached) and "<svg" in reached._repr_html_(), reached
    assert [row.title for row in reached.filter(kind="consumer")] == ["checkout"]
    with client.training_run("risk/clean", sys.version.split()[0]) as run:
        run.log_dataset("warehouse/payments", {"amount": [1.5, 2.5]})
    assert run.told and client.asset(run.version_key) is not None
async def ask():
    async with headwater.AsyncClient(url) as client:
        return (await client.impact(start)).keys()
assert set(asyncio.run(ask())) >= set(reached.keys())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-c", "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"]
    subprocess.run([*build, str(folder)], cwd=ROOT / "clients/python", check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with small_graph(tmp_path_factory.mktemp("small_graph")) as url:
        yield url


@pytest.mark.long
@pytest.mark.parametrize("version", SUPPORTED)
def test_it_is_installed_in_seconds_and_works(
    wheel: Path, url: str, version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here: the client is not run under it, only checked by mypy and ruff")
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    clean |= {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_", "HTTP"))}
    subprocess.run([UV, "venv", "--quiet", "--python", python, tmp_path / "venv"], env=clean, check=True)
    began = time.monotonic()
    install = [str(UV), "pip", "install", "--quiet", str(wheel)]
    if version != "3.10":  # which the lock is not for
        install += ["--constraint", str(ROOT / "requirements/dev.txt")]
    ran = subprocess.run(
        install, env=clean | {"VIRTUAL_ENV": str(tmp_path / "venv")}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    took = time.monotonic() - began
    with capsys.disabled():
        print(f"\nPython {version}: the client was installed in {took:.1f} s")
    assert took < SECONDS
    inside = tmp_path / "venv" / "bin"
    command = [str(inside / "python"), "-W", "error", "-c", SMOKE, url, AMOUNT, str(tmp_path)]
    ran = subprocess.run(command, env=clean, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    subprocess.run([inside / "headwater", "--help"], env=clean, cwd=tmp_path, capture_output=True, check=True)
