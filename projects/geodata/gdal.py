"""rasterio, GDAL's voice in Python, with all of its parts that are used here; or the extra to install."""

try:
    import rasterio
    import rasterio.enums
    import rasterio.errors
    import rasterio.features
    import rasterio.shutil
    import rasterio.vrt
    import rasterio.warp
    import rasterio.windows
except ImportError as error:
    raise ImportError(f"{error}; GeoTIFFs need the extra 'geo': pip install -e '.[geo]'") from error

__all__ = ['rasterio']
