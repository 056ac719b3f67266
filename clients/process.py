"""What a member's process does to itself before secrets are made in it."""

import resource


def forbid_core_dumps() -> None:
    """A crash must not write round secrets to a disk. Swap and hibernation are the site's to turn off."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
