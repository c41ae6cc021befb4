"""Objects as lists of pixels, which may overlap, and their one-to-one matching with labelled buildings."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

MIN_IOU = 0.5


@dataclass(frozen=True)
class Objects:
    """The pixels of the objects in an image, object after object or not.

    Attributes:
        positions: (P,) index of each pixel in the flattened image; one that several objects share stands there for
            each.
        owners: (P,) the object of each, from 0.
        number: How many objects there are; one may be without pixels.
    """

    positions: np.ndarray
    owners: np.ndarray
    number: int

    @classmethod
    def of_parts(cls, mask: np.ndarray) -> 'Objects':
        """The connected parts of a mask, see `connected_parts`.

        Args:
            mask: (H, W) bool.
        """
        parts = connected_parts(mask)
        positions = np.flatnonzero(parts)
        return cls(positions, parts.ravel()[positions] - 1, int(parts.max(initial=0)))

    @classmethod
    def of_masks(cls, masks: Sequence[np.ndarray] | np.ndarray, valid: np.ndarray) -> 'Objects':
        """One object for each mask.

        Args:
            masks: (N, H, W) bool.
            valid: (H, W) bool, the pixels to keep.
        """
        positions = [np.flatnonzero(mask & valid) for mask in masks]
        owners = np.repeat(np.arange(len(positions)), [len(each) for each in positions])
        return cls(np.concatenate([np.zeros(0, np.intp), *positions]), owners, len(positions))

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """(H, W) bool, the pixels of all objects together."""
        mask = np.zeros(shape, bool)
        mask.ravel()[self.positions] = True
        return mask

    def table(self, values: np.ndarray, number: int) -> coo_array:
        """How many pixels of each object have each value.

        Args:
            values: (H, W) integers from 0.
            number: One more than the largest value may be.

        Returns:
            (objects, number) sparse, with no entry twice.
        """
        entries = (self.owners, values.ravel()[self.positions])
        ones = np.ones(len(self.positions), np.int64)
        return csr_array((ones, entries), shape=(self.number, number)).tocoo()


def connected_parts(mask: np.ndarray) -> np.ndarray:
    """Number the connected parts of a mask; pixels that touch by a corner are connected.

    Args:
        mask: (H, W) bool.

    Returns:
        (H, W) int32, 0 outside, parts from 1.
    """
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)[1]


def match(objects: Objects, ids: np.ndarray, number: int) -> np.ndarray:
    """Find the most pairs of an object and a labelled building with an IoU of at least `MIN_IOU`, each in one pair.

    Labelled buildings do not overlap. So an object has more than half of its union in common with one building only,
    and which buildings have a partner does not depend on how partners are chosen. An IoU of exactly a half is possible
    with two buildings that fill the object; then the lower id has preference, if that leaves as many pairs. Of several
    objects that fit a building one counts, by preference the first.

    Args:
        objects: What was found.
        ids: (H, W) integers, the labelled buildings; 0 is none.
        number: One more than the largest id may be.

    Returns:
        (objects,) id of the building matched with each, 0 for none.
    """
    shared = objects.table(ids, number)
    owners, buildings = shared.coords
    found_px = np.bincount(objects.owners, minlength=objects.number)
    labeled_px = np.bincount(ids.ravel(), minlength=number)
    union = found_px[owners] + labeled_px[buildings] - shared.data
    fits = (buildings > 0) & (shared.data >= MIN_IOU * union)
    pairs = csr_array((np.ones(fits.sum(), bool), (owners[fits], buildings[fits])), shape=shared.shape)
    pairs.sort_indices()
    return np.maximum(maximum_bipartite_matching(pairs, perm_type='column'), 0)
