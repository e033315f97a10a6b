"""The tests marked `gpu`, those that can be imported here."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.common import options

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    smallest = options().smallest
    if importlib.util.find_spec("pytest") is None:
        print("Left out: pytest is not installed.")
        return
    marked = sorted(p for p in ROOT.glob("tests/**/test_*.py") if "mark.gpu" in p.read_text(encoding="utf-8"))
    jupyter = importlib.util.find_spec("nbgrader") is not None
    files = [p for p in marked if jupyter or "tools" not in p.parts]
    left_out = [p.relative_to(ROOT).as_posix() for p in marked if p not in files]
    if left_out:
        print(f"Left out, since nbgrader is not installed: {', '.join(left_out)}.\n")
    # Without the project's settings: they name plugins that may be missing.
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", f"--rootdir={ROOT}", "-m", "gpu"]
    command += ["-p", "no:cacheprovider", "-W", "ignore", "--tb=short"]
    command += ["--collect-only"] if smallest else []
    ran = subprocess.run([*command, *map(str, files)], cwd=ROOT, capture_output=True, text=True)
    lines = ran.stdout.strip().splitlines()
    failures = [line for line in lines if re.match(r"(FAILED|ERROR) ", line)]
    print("\n".join([f"`{lines[-1].strip('= ')}`" if lines else ran.stderr[-500:], *failures]))
    if ran.returncode:
        print("\n".join(lines[-60:]), file=sys.stderr)
        sys.exit(f"{len(failures)} failures")


if __name__ == "__main__":
    main()
