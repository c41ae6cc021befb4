import argparse
import subprocess
import sys

import pytest

from projects.building_extraction.preparation.sources import add_sources

LIGHT = """
import sys
from projects.building_extraction.preparation import bonai_files, geotiles, sources, training_commands
print([name for name in ('geopandas', 'rasterio', 'pyogrio') if name in sys.modules])
from projects.building_extraction.preparation import raster_tiles
from projects.building_extraction.preparation.scenes import tiles
print([name for name in ('torch', 'mmcv', 'mmdet', 'mmseg') if name in sys.modules])
"""


def test_preparing_loads_no_networks_and_registers_no_data_sets_and_map_tiles_need_no_geodata_libraries():
    done = subprocess.run([sys.executable, '-c', LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout == '[]\n[]\n'


@pytest.mark.parametrize('name', ['geotiles', 'geotiff', 'scenes', 'bonai', 'annotations'])
def test_each_source_has_help_and_a_function(name, capsys):
    parser = argparse.ArgumentParser()
    add_sources(parser)
    with pytest.raises(SystemExit, match='0'):
        parser.parse_args([name, '--help'])
    assert '--out' in capsys.readouterr().out
    needed = {'geotiles': ['--tiles', 't', '--labels', 'l'], 'geotiff': ['--image', 'i', '--labels', 'l']}
    needed |= {'bonai': ['--labels', 'l'], 'annotations': ['--annotations', 'a', '--images', 'i']}
    options = needed.get(name, [])
    args = parser.parse_args([name, *options, '--out', 'set.json' if name == 'bonai' else 'set'])
    assert args.command == name
    assert callable(args.prepare)
