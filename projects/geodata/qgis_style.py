"""How polygons look in QGIS: the .qml that it loads beside a vector file, and the table that a GeoPackage may hold.

Elements and attributes are those that QGIS 3 reads: `QgsCategorizedSymbolRenderer::create`,
`QgsGraduatedSymbolRenderer::create` and `QgsSymbolLayerUtils::loadSymbols`.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from xml.etree import ElementTree

from projects.reporting.palette import GRAY, HEIGHTS, SCORES, rgb

from .heights import CLASS_LIMITS_M, CLASS_NAMES, UNKNOWN_CLASS

DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
OPACITY = 0.55  # of what polygons are filled with: the image below stays seen
OUTLINE_MM = 0.4
CLASS, HEIGHT, SCORE = COLUMNS = 'height_class', 'height_m', 'score'  # that colours can follow, the first wins


def qgis_style(columns: Iterable[str]) -> str | None:
    """A style in QGIS's XML for polygons with these columns; None: they have none that colours follow.

    Buildings are coloured by `height_class`, else by the class of `height_m`, else by `score`.
    """
    chosen = next((name for name in COLUMNS if name in set(columns)), None)
    if chosen is None:
        return None
    root = ElementTree.Element('qgis', version='3.22.0', styleCategories='Symbology')
    if chosen == SCORE:
        limits = [*(lowest for lowest, _ in SCORES), 1.0]
        labels = [f'{low:g} to {high:g}' for low, high in pairwise(limits)]
        attributes = {'type': 'graduatedSymbol', 'attr': SCORE, 'graduatedMethod': 'GraduatedColor'}
        renderer = ElementTree.SubElement(root, 'renderer-v2', attributes)
        ranges = ElementTree.SubElement(renderer, 'ranges')
        for number, label in enumerate(labels):
            between = {'lower': f'{limits[number]:g}', 'upper': f'{limits[number + 1]:g}'}
            _legend(ranges, 'range', number, label, between)
        colors: Sequence[str] = [color for _, color in SCORES]
    else:
        attributes = {'type': 'categorizedSymbol', 'attr': CLASS if chosen == CLASS else _class_of_height()}
        renderer = ElementTree.SubElement(root, 'renderer-v2', attributes)
        categories = ElementTree.SubElement(renderer, 'categories')
        for number, name in enumerate((*CLASS_NAMES, UNKNOWN_CLASS)):
            _legend(categories, 'category', number, name, {'value': name, 'type': 'string'})
        colors = (*HEIGHTS, GRAY)
    symbols = ElementTree.SubElement(renderer, 'symbols')
    for number, color in enumerate(colors):
        symbol = ElementTree.SubElement(symbols, 'symbol', type='fill', name=str(number), alpha='1')
        layer = ElementTree.SubElement(symbol, 'layer', {'class': 'SimpleFill', 'enabled': '1', 'pass': '0'})
        options = ElementTree.SubElement(layer, 'Option', type='Map')
        for name, value in _fill(color).items():
            ElementTree.SubElement(options, 'Option', type='QString', name=name, value=value)
    ElementTree.indent(root, ' ')
    return DOCTYPE + ElementTree.tostring(root, encoding='unicode') + '\n'


def _legend(parent: ElementTree.Element, tag: str, symbol: int, label: str, values: dict[str, str]) -> None:
    ElementTree.SubElement(parent, tag, {**values, 'symbol': str(symbol), 'label': label, 'render': 'true'})


def _class_of_height() -> str:
    """QGIS's expression for the class of a height."""
    limits = zip(CLASS_LIMITS_M, CLASS_NAMES[:-1], strict=True)
    cases = [f'WHEN "{HEIGHT}" < {limit:g} THEN \'{name}\'' for limit, name in limits]
    known = f'WHEN "{HEIGHT}" IS NULL THEN \'{UNKNOWN_CLASS}\''
    return f"CASE {known} {' '.join(cases)} ELSE '{CLASS_NAMES[-1]}' END"


def _fill(color: str) -> dict[str, str]:
    """Properties of `QgsSimpleFillSymbolLayer`."""
    levels = ','.join(map(str, rgb(color)))
    return {
        'color': f'{levels},{round(255 * OPACITY)}',
        'style': 'solid',
        'outline_color': f'{levels},255',
        'outline_style': 'solid',
        'outline_width': f'{OUTLINE_MM}',
        'outline_width_unit': 'MM',
    }
