"""The program: `triscope`, or `python -m triscope`."""

import os
import signal
import sys


def run() -> None:
    """Run the command line. A Ctrl-C while it is loaded, which takes a moment, shows no traceback either."""
    # OpenMP's threads wait for each other by spinning, which on a busy machine takes the time from the one waited for:
    # a report that takes a minute took seven. It reads this when PyTorch is loaded.
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
