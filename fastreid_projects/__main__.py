"""``fastreid-projects`` and ``python -m fastreid_projects``: run a command, or show an overview."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fastreid_projects import __version__
from fastreid_projects.commands.table import commands, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names; without one, print an overview."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"fastreid-projects {__version__}")
        return 0
    return run_command(words[0], words[1:], f"fastreid-projects {words[0]}")


def overview() -> str:
    """Return commands, papers and configs, one on each line."""
    from fastreid_projects.plugins import PAPERS
    from fastreid_projects.shipped import shipped_configs

    lines = [
        f"fastreid-projects {__version__}: FastReID on a current Python, and five ReID papers",
        "",
        "Commands",
    ]
    known = commands()
    width = max(map(len, known))
    lines += [f"  {name:<{width}}  {command.summary}" for name, command in known.items()]
    lines += ["", "Papers: " + ", ".join(PAPERS), "", "Configs, for --config-file from any folder"]
    for folder, names in shipped_configs().items():
        lines.append(f"  {folder}: {len(names)}, e.g. {names[0]}")
    lines += ["", "fastreid-projects <command> --help says more."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
