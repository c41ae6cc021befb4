"""Decoded files that stay in memory, for small data sets: a step of few pixels spends longer on files than on them."""

import numpy as np


class DecodedFiles:
    """Arrays by the path of their file, as long as there is room; each process has its own.

    Args:
        limit_mib: Room for all of them together, in MiB; the files that come first keep it.
    """

    def __init__(self, limit_mib: float) -> None:
        self._room_bytes = limit_mib * 2**20
        self._arrays: dict[str, np.ndarray] = {}

    def get(self, path: str) -> np.ndarray | None:
        """A copy of the array of a file, None if it is not here."""
        array = self._arrays.get(path)
        return None if array is None else array.copy()

    def put(self, path: str, array: np.ndarray) -> None:
        """Keep a copy of an array if there is room."""
        if array.nbytes <= self._room_bytes and path not in self._arrays:
            self._arrays[path] = array.copy()
            self._room_bytes -= array.nbytes
