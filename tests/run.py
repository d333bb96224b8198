"""What `make test` runs: all tests, in parallel, with the line coverage of `proxy/`.

    python tests/run.py [ARGUMENTS OF PYTEST]

Without arguments, less than 95 % of lines covered is a failure; what runs in the processes that
tests start does not count, as each would take three times as long to start. Where a Python 3.13 is
found beside an older one, the unit tests but for the slow ones run there first, in `.venv-3.13`.
With arguments, pytest is given them and nothing is measured. Pytest's closing line is the last
one printed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COVERED_PERCENT_MIN = 95
NEWER = (3, 13)
# Many tests wait for a server or a clock: one worker more than there are cores keeps those busy.
PARALLEL = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "worksteal"]


def pytest(python: str | Path, *arguments: str) -> int:
    sys.stdout.flush()
    return subprocess.call([python, "-m", "pytest", *PARALLEL, *arguments], cwd=ROOT)


def find_newer_python() -> Path | None:
    """Return an interpreter of the version `NEWER`, from the PATH or among pyenv's."""
    name = ".".join(map(str, NEWER))
    candidates = [Path(found)] if (found := shutil.which(f"python{name}")) else []
    if pyenv := shutil.which("pyenv"):
        asked = subprocess.run([pyenv, "prefix", name], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            candidates.append(Path(asked.stdout.strip()) / "bin" / "python")
    for candidate in candidates:
        # Among them may be a launcher that finds nothing to launch.
        asked = subprocess.run(
            [candidate, "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.split() == [str(part) for part in NEWER]:
            return candidate
    return None


def prepare_environment(python: Path) -> Path | None:
    """Return the interpreter of `.venv-3.13`, set up for tests; nothing when that fails."""
    uv = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
    if not uv:
        return None
    folder = ROOT / f".venv-{'.'.join(map(str, NEWER))}"
    inside = folder / "bin" / "python"
    ready = folder / ".ready"
    if ready.exists() and ready.stat().st_mtime >= (ROOT / "pyproject.toml").stat().st_mtime:
        return inside
    steps: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--clear", "--python", python, folder],
        [
            *(uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", inside),
            *("--editable", ".", "--group", "test"),
        ],
    ]
    for step in steps:
        if subprocess.call(step, cwd=ROOT) != 0:
            return None
    ready.touch()
    return inside


def test_on_newer_python() -> int:
    """Run the unit tests on Python 3.13 where there is one; return pytest's exit status."""
    if sys.version_info >= NEWER:
        return 0
    if not (found := find_newer_python()):
        return 0
    if not (python := prepare_environment(found)):
        print("Python 3.13 is here, its environment could not be set up: skipped")
        return 0
    print("Unit tests on Python 3.13:")
    return pytest(python, "-q", "-p", "no:cacheprovider", "-m", "not slow", "tests/unit")


def main(arguments: list[str]) -> int:
    if arguments:
        return pytest(sys.executable, *arguments)
    if status := test_on_newer_python():
        return status
    print(f"All tests on Python {sys.version_info.major}.{sys.version_info.minor}:")
    return pytest(
        sys.executable,
        "--cov",
        "--cov-report=term-missing:skip-covered",
        f"--cov-fail-under={COVERED_PERCENT_MIN}",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
