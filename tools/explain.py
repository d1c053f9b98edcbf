"""Explain distances by attributes: python tools/explain.py --config-file X.yml --query a.jpg --gallery b.jpg."""

import sys

import fastreid_projects.required  # noqa: F401  (mends the host before anything of it is imported)

if __name__ == "__main__":
    from fastreid_projects.amd.explain.command import main

    sys.exit(main())
