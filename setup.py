"""Maps the folders of projects/ to the one import package ``fastreid_projects``."""

from setuptools import setup

PAPERS = {
    "airnet": "AIRNet/airnet",
    "amd": "AMD/amd",
    "fidi": "FIDI/fidi",
    "mpn": "MPN/mpn",
    "mpn.providers": "MPN/mpn/providers",
    "sal": "SAL/sal",
}
COMMON = ("host", "losses", "data", "data.demo", "evaluation", "engine", "visualization")

packages = ["fastreid_projects", *(f"fastreid_projects.{name}" for name in COMMON)]
packages += [f"fastreid_projects.{name}" for name in PAPERS]

setup(
    packages=packages,
    package_dir={
        "fastreid_projects": "projects/common",
        **{f"fastreid_projects.{name}": f"projects/{folder}" for name, folder in PAPERS.items()},
    },
    package_data={"fastreid_projects.visualization": ["templates/*"], "fastreid_projects": ["py.typed"]},
)
