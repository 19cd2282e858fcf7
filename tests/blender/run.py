"""`python tests/blender/run.py BPY_PYTHON ... [-- pytest options]`: the tests in each of these Blenders.

Run by the environment that has the backend. A Blender that crashes or hangs at its exit fails as well.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 600


def run(python: str, options: list[str]) -> int:
    """Exit code of the tests in the Blender that ``python`` can import."""
    command = [python, "-m", "pytest", "-c", str(HERE / "pytest.ini"), "--rootdir", str(HERE)]
    # The tests above this folder are for an environment that Blender does not have.
    command += ["--confcutdir", str(HERE), *(options or [str(HERE)])]
    environment = os.environ | {"HUMANREF_PYTHON": sys.executable}
    try:
        return subprocess.run(command, env=environment, timeout=SECONDS).returncode
    except subprocess.TimeoutExpired:
        print(f"{python}: not done, or not ended, after {SECONDS} s", file=sys.stderr)
        return 124


def main() -> int:
    arguments = sys.argv[1:]
    middle = arguments.index("--") if "--" in arguments else len(arguments)
    failed = []
    for python in arguments[:middle]:
        version = subprocess.run(
            [python, "-c", "import bpy; print(bpy.app.version_string)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        print(f"== Blender {version}", flush=True)
        code = run(python, arguments[middle + 1 :])
        if code:
            failed.append(f"Blender {version}: exit code {code}")
    print("\n".join(failed))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
