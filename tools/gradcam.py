"""Grad-CAM of images, or of the similarity of two: python tools/gradcam.py --config-file X.yml --images A.jpg."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("gradcam"))
