"""Map the papers of ``projects/`` into the package; put all configs into a wheel, and the README on a package index."""

import re
import shutil
import tomllib
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
    """Copy ``configs/`` and ``projects/*/configs/`` below the package, where fastreid_projects/shipped.py looks."""

    def run(self) -> None:
        """Build, then copy; an editable installation reads the configs of the checkout."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "fastreid_projects" / "shipped"
        shutil.rmtree(target, ignore_errors=True)  # an earlier build's, whose configs may have moved
        for folder in (ROOT / "configs", *sorted(ROOT.glob("projects/*/configs"))):
            shutil.copytree(folder, target / folder.relative_to(ROOT), dirs_exist_ok=True)


def long_description() -> str:
    """Return the README with absolute links and images, which it needs on a package index."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def absolute(link: re.Match[str]) -> str:
        view = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({project['urls']['Homepage']}/{view}/main/{link['path']})"

    relative = r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!https?://|#)(?P<path>[^)\s]+)\)"
    return re.sub(relative, absolute, (ROOT / "README.md").read_text(encoding="utf-8"))


packages = find_packages(include=["fastreid_projects", "fastreid_projects.*"])
for name, folder in PAPERS.items():
    packages += [
        f"fastreid_projects.{name}",
        *(f"fastreid_projects.{name}.{sub}" for sub in find_packages(folder)),
    ]

setup(
    packages=packages,
    package_dir={f"fastreid_projects.{name}": folder for name, folder in PAPERS.items()},
    include_package_data=False,  # what package_data names, not all that MANIFEST.in does
    package_data={
        "fastreid_projects": ["py.typed", "typed_config.pyi"],
        "fastreid_projects.config": ["host_keys.yml"],
        "fastreid_projects.visualization": ["templates/*"],
        "fastreid_projects.amd.explain": ["templates/*"],
    },
    long_description=long_description(),
    long_description_content_type="text/markdown",
    cmdclass={"build_py": BuildWithConfigs},
)
