"""Maps the papers of ``projects/`` into the package: ``projects/AMD/amd`` is ``fastreid_projects.amd``."""

from setuptools import find_packages, setup

PAPERS = {
    "airnet": "projects/AIRNet/airnet",
    "amd": "projects/AMD/amd",
    "fidi": "projects/FIDI/fidi",
    "mpn": "projects/MPN/mpn",
    "sal": "projects/SAL/sal",
}

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
)
