"""The commands of the installed package: ``fastreid-projects <command>``, ``python -m fastreid_projects <command>``.

A command is a module with ``argument_parser()`` and ``run(args)``; slow imports belong into ``run``. The commands of a
paper lie with the paper and are listed in :mod:`fastreid_projects.plugins`. ``tools/*.py`` are the same commands.
"""
