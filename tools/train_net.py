"""Train or evaluate: python tools/train_net.py --config-file X.yml [--resume] [--eval-only] [KEY VALUE ...]."""

import sys

import fastreid_projects.host.required  # noqa: F401  (mends the host before anything of it is imported)

if __name__ == "__main__":
    from fastreid_projects.engine.main import main

    sys.exit(main())
