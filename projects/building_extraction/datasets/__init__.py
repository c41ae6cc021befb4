"""Building data sets: on-disk formats and their conversion."""

from . import bonai, building_instances, building_masks, building_tiles, loading

__all__ = ['bonai', 'building_instances', 'building_masks', 'building_tiles', 'loading']
