"""Building tile sets from one's own data: GeoTIFF and vectors, web-map tiles, BONAI, rendered scenes."""
