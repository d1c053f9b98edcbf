"""Train or evaluate: python tools/train_net.py --config-file X.yml [--resume] [--eval-only] [KEY VALUE ...]."""

import os
import signal
import sys


def _end(signum: int, frame: object) -> None:
    """Ctrl-C before there is anything to stop: importing takes seconds."""
    os.write(2, b"Interrupted\n")
    os._exit(128 + signum)


if __name__ == "__main__":
    answer = signal.signal(signal.SIGINT, _end)

    import fastreid_projects.required  # noqa: F401  (mends the host before anything of it is imported)
    from fastreid_projects.engine.main import main

    signal.signal(signal.SIGINT, answer)
    sys.exit(main())
