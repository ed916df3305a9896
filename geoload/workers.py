"""What worker processes of a pool have in common."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.process import BaseProcess


def die_with_parent() -> None:
    """End this process when its parent ends, however that was, if it is a worker.

    A pool's workers would wait for ever, and go on with their work, if their parent was killed.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def core_count() -> int:
    """Return how many cores this process may use, often fewer than a cluster's node has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
