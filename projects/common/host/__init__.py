"""The only files that know FastReID's defects. Each mend names the host's file and line."""

def mend_host() -> None:
    """Mend the installed host once; without a host, do nothing."""
