"""The program: `triscope`, or `python -m triscope`."""

import os
import signal
import sys


def run() -> None:
    """Run the command line. Ctrl-C shows no traceback, even while PyTorch is being imported."""
    # By default, OpenMP's threads spin while they wait for each other, which slows down the others on a busy machine: a
    # report took seven minutes instead of one. OpenMP reads this variable when PyTorch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from triscope.cli import main

        main(prog_name="triscope")
    except KeyboardInterrupt:
        sys.stderr.write("triscope: interrupted\n")
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # there is nothing left to interrupt


if __name__ == "__main__":
    run()
