"""A config that records which of its values are read."""

from __future__ import annotations

from typing import Any

from fastreid.config import CfgNode


class Reads(set[str]):
    """Dotted keys whose values were read; copies of a config write into the same set."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Reads:
        return self


class WatchedConfig(CfgNode):
    """A config that records in ``reads`` the keys of all values read from it or from its clones.

    A value that a program has set itself and reads again does not count: the user's value had no effect there.
    """

    @classmethod
    def of(cls, cfg: CfgNode) -> WatchedConfig:
        """Return a watched copy of a config, frozen if the config is, with the notes that lie beside its keys."""
        return _watch(cls, cfg, Reads(), "")

    @property
    def reads(self) -> Reads:
        """The keys that were read so far."""
        found: Reads = self.__dict__["_reads"]
        return found

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        self._note(name, value)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or the default if there is none."""
        if name not in self:
            return default
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self.__dict__["_replaced"].add(name)

    def _note(self, name: str, value: Any) -> None:
        own = self.__dict__
        if "_reads" in own and not isinstance(value, CfgNode) and name not in own["_replaced"]:
            own["_reads"].add(f"{own['_prefix']}{name}")


def _watch(cls: type[WatchedConfig], node: CfgNode, reads: Reads, prefix: str) -> WatchedConfig:
    watched = cls()
    watched.__dict__.update({**vars(node), "_reads": reads, "_prefix": prefix, "_replaced": set()})
    for name, value in node.items():
        below = isinstance(value, CfgNode)
        dict.__setitem__(watched, name, _watch(cls, value, reads, f"{prefix}{name}.") if below else value)
    return watched
