"""Building tile sets from one's own data: GeoTIFF and vectors, web-map tiles, BONAI, rendered scenes.

A source (`raster_tiles`, `geotiles`, `bonai_files`, `scenes.tiles`) finds or renders tiles, labels and splits them;
what it writes of a tile and of a part, it writes by `tile_set`, into a folder that appears whole (`storage.folders`).
`set_pictures` draws what there is to look at; `sources` is the command line of all four.
"""
