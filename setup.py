"""Maps the papers of ``projects/`` into the package, and takes all configs into a wheel."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# projects/AMD/amd is fastreid_projects.amd
PAPERS = {
    "airnet": "projects/AIRNet/airnet",
    "amd": "projects/AMD/amd",
    "fidi": "projects/FIDI/fidi",
    "mpn": "projects/MPN/mpn",
    "sal": "projects/SAL/sal",
}


class BuildWithConfigs(build_py):
    """Copies ``configs/`` and ``projects/*/configs/`` below the package, where fastreid_projects/shipped.py looks."""

    def run(self) -> None:
        """Build, then copy; an editable installation reads the checkout's own."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "fastreid_projects" / "shipped"
        for folder in (ROOT / "configs", *sorted(ROOT.glob("projects/*/configs"))):
            shutil.copytree(folder, target / folder.relative_to(ROOT), dirs_exist_ok=True)


packages = find_packages(include=["fastreid_projects", "fastreid_projects.*"])
for name, folder in PAPERS.items():
    packages += [
        f"fastreid_projects.{name}",
        *(f"fastreid_projects.{name}.{sub}" for sub in find_packages(folder)),
    ]

setup(
    packages=packages,
    package_dir={f"fastreid_projects.{name}": folder for name, folder in PAPERS.items()},
    package_data={
        "fastreid_projects": ["py.typed"],
        "fastreid_projects.visualization": ["templates/*"],
        "fastreid_projects.amd.explain": ["templates/*"],
    },
    cmdclass={"build_py": BuildWithConfigs},
)
