"""--help is fast: nothing slow is imported for it."""

from fastreid_projects.commands.table import commands

# One process for all: what each command imports for its --help.
HELP = """
import contextlib, io, json, sys
from fastreid_projects.__main__ import main
from fastreid_projects.commands.table import commands
for name in commands():
    text = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(text):
        main([name, "--help"])
    print(name, *sorted({module.split(".")[0] for module in sys.modules}))
    assert "usage: fastreid-projects " + name in text.getvalue()
"""
SLOW = {
    "fastreid",
    "faiss",
    "sklearn",
    "scipy",
    "matplotlib",
    "tensorboard",
    "yacs",
    "onnx",
    "onnxruntime",
    "captum",
}


def test_no_command_imports_the_host_for_its_help(run_python):
    done = run_python(HELP)
    assert done.returncode == 0, done.stderr
    imported = {line.split()[0]: set(line.split()[1:]) for line in done.stdout.splitlines()}
    assert set(imported) == set(commands())
    assert {name: modules & SLOW for name, modules in imported.items() if modules & SLOW} == {}
    assert "torch" not in imported["train"]
