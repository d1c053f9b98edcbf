"""Explain distances by attributes: python tools/explain.py --config-file X.yml --query a.jpg --gallery b.jpg."""

import sys

import fastreid_projects  # noqa: F401  (mends the host before anything of it is imported)
from fastreid_projects.errors import HostMissingError

if __name__ == "__main__":
    try:
        from fastreid_projects.amd.explain_tool import main
    except HostMissingError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(main())
