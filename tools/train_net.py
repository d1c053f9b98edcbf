"""Train or evaluate: python tools/train_net.py --config-file X.yml [--resume] [--eval-only] [KEY VALUE ...]."""

import sys

import fastreid_projects  # noqa: F401  (mends the host before anything of it is imported)
from fastreid_projects.errors import HostMissingError

if __name__ == "__main__":
    try:
        from fastreid_projects.engine.main import main
    except HostMissingError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(main())
