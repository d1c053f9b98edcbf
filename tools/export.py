"""Write a trained model as ONNX: python tools/export.py --config-file X.yml MODEL.WEIGHTS W.pth [--output M.onnx]."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("export"))
