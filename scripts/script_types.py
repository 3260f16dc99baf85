"""Check the types of the pages' scripts (JSDoc) by TypeScript's compiler, as `tsconfig.json` says.

The compiler is the `tsc` on the PATH, else the one that npm has or fetches. Where there is neither, or nothing to fetch
it from, nothing is checked, and that is said.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "typescript@7.0.2"


def compiler(*, fetch: bool) -> list[str] | None:
    """The words that start the compiler, or None where there is none; `fetch` lets npm get it."""
    if tsc := shutil.which("tsc"):
        return [tsc]
    npm = shutil.which("npm") if fetch else None
    return [npm, "exec", "--yes", "--prefer-offline", f"--package={PACKAGE}", "--", "tsc"] if npm else None


def main() -> int:
    """Check; 1 where a type is wrong."""
    words = compiler(fetch=True)
    if words is None:
        print("Types of scripts are not checked: there is no tsc and no npm.", file=sys.stderr)
        return 0
    done = subprocess.run(  # noqa: S603 - the arguments are ours
        [*words, "--project", str(ROOT / "tsconfig.json")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(done.stdout, end="")
    if done.returncode and "error TS" not in done.stdout:
        print(f"Types of scripts are not checked: npm cannot get tsc. {done.stderr.strip()[-300:]}", file=sys.stderr)
        return 0
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
