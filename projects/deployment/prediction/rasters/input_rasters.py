"""Rasters among the inputs of a run: their layers, objects, polygons and maps in its folder."""

import os
from dataclasses import replace
from pathlib import Path

from projects.geodata.raster_files import NoDataError, UnplacedError
from projects.geodata.vector_files import NothingToWriteError, geopandas, write_polygons

from ...model_info import ModelInfo
from ...predictor import Predictor
from ..coco_results import polygons_to_annotations, write_coco
from ..image_files import InputFile
from ..journal import InputJournal
from ..map_pages import write_prediction_map
from ..parts import MissingError, Part
from ..prediction_files import PredictionSettings
from .instances import RasterInstances, to_footprints
from .map_views import instances_of_report, raster_view
from .polygons import polygons_of_files, vectorization_of
from .prediction import PolygonMaker, predict_raster, predict_strips_of_part


def raster_folder(file: InputFile, out: Path) -> Path:
    """Where a raster's layers go: beside one another, apart where names are equal up to their suffix."""
    return out / 'rasters' / (file.name if file.name == file.file_name else Path(file.name).parent)


class InputRasters:
    """Predicts rasters one by one, and writes their polygons and maps.

    Args:
        predictor: The model.
        journal: Takes an entry for each raster, in the first process.
        settings: What to write.
        model_id: See `predict_raster`, as of the following.
        resume: Go on with what there is.
        join: Join what parts have done.

    Attributes:
        lines: What became of the polygons, in words, by name of the raster.
        failed: Why there are none, or no map, where there should be.
        maps: Pages that were written, by name of the raster.
        missing: Parts that lack strips.
    """

    def __init__(
        self,
        predictor: Predictor,
        journal: InputJournal,
        settings: PredictionSettings,
        model_id: str,
        resume: bool = False,
        join: bool = False,
    ) -> None:
        self._predictor, self._journal, self._settings = predictor, journal, settings
        self._how = replace(settings.rasters, batch_size=settings.batch_size, min_score=settings.score_threshold)
        self._resume, self._join, self._model_id = resume, join, model_id
        self.lines: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.missing: list[Part] = []
        self.maps: dict[str, Path] = {}

    def predict(self, file: InputFile, rank: int) -> None:
        """Predict a raster, together with all other processes."""
        folder = raster_folder(file, self._journal.out)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            result = predict_raster(
                self._predictor,
                file.path,
                folder,
                self._how,
                polygons=self._settings.polygons,
                resume=self._resume,
                join=self._join,
                model_id=self._model_id,
            )
        except Exception as error:  # whatever it is, the other inputs are predicted
            self.missing += error.parts if isinstance(error, MissingError) else []
            if rank == 0:
                named = '' if isinstance(error, ValueError | OSError) else f'{type(error).__name__}: '
                self._journal.add(file, {'error': f'{named}{error}'})
            return
        if result is None:  # the first process has it
            return
        damage = ''
        if result.unreadable:
            places = ', '.join(str(window) for window in result.unreadable[:5])
            damage = (
                f'{len(result.unreadable)} of {result.num_windows} windows cannot be read and have no data in the '
                f'results (column, row, width, height: {places}{", ..." if len(result.unreadable) > 5 else ""})'
            )
        layers = {layer: os.path.relpath(path, self._journal.out) for layer, path in result.files.items()}
        names = list(layers.values())
        if result.instances is not None:
            names.append(_write_objects(file, result.instances, self._journal.out, self._predictor.info))
        polygons = self._write_polygons(file, result.polygons)
        self._write_map(file, result.files, polygons, result.instances)
        self._journal.add(file, {'files': names, 'layers': layers, 'notes': result.notes, 'damage': damage})

    def predict_part(self, file: InputFile, part: Part) -> int:
        """Predict strips of a raster; see `predict_strips_of_part`."""
        folder = raster_folder(file, self._journal.out)
        folder.mkdir(parents=True, exist_ok=True)
        return predict_strips_of_part(self._predictor, file.path, folder, part, self._how, model_id=self._model_id)

    def write_again(self, file: InputFile, layers: dict[str, Path]) -> None:
        """Write polygons and map of a raster that was complete before: what is asked of them may have changed."""
        polygons = None
        if self._settings.polygons is not None:
            how = vectorization_of(self._settings.polygons, self._predictor.info)
            gsd_m = self._how.gsd_m
            polygons = self._write_polygons(file, lambda: polygons_of_files(layers, file.path, gsd_m, how))
        if self._settings.maps is not None:
            report = raster_folder(file, self._journal.out) / f'{file.path.stem}_prediction.json'
            self._write_map(file, layers, polygons, instances_of_report(report))

    def _write_polygons(self, file: InputFile, make: PolygonMaker | None) -> geopandas.GeoDataFrame | None:
        """Write polygons; a raster that has no data, or does not say where it lies, has none."""
        if make is None or self._settings.polygons is None:
            return None
        path = self._journal.out / 'polygons' / f'{file.name}.{self._settings.polygons.format}'
        try:
            polygons = make()
            if polygons is None:
                return None
            path.parent.mkdir(parents=True, exist_ok=True)
            write_polygons(polygons, path)
            self.lines[file.name] = f'wrote {path}: {len(polygons)} polygons'
            if (footprints := to_footprints(polygons)) is not None:
                path = path.with_name(f'{path.stem}_footprints{path.suffix}')
                write_polygons(footprints, path)
                self.lines[file.name] += f' of roofs, and their footprints {path}'
            return polygons
        except (NoDataError, NothingToWriteError, UnplacedError) as error:
            self.lines[file.name] = f'{file.name}: no polygons: {error}'
        except Exception as error:  # the raster itself is predicted
            self.failed[file.name] = f'no polygons: {type(error).__name__}: {error}'
        return None

    def _write_map(
        self,
        file: InputFile,
        layers: dict[str, Path],
        polygons: geopandas.GeoDataFrame | None,
        instances: RasterInstances | None,
    ) -> None:
        settings, info = self._settings.maps, self._predictor.info
        if settings is None:
            return
        try:
            view = raster_view(file, layers, self._how, info, polygons, instances)
            self.maps[file.name] = write_prediction_map(file, view, self._journal.out, info, settings)
        except Exception as error:  # the raster itself is predicted
            self.failed[file.name] = f'no map: {type(error).__name__}: {error}'


def _write_objects(file: InputFile, instances: RasterInstances, out: Path, info: ModelInfo) -> str:
    """Write a raster's objects in its pixels, which is possible without a coordinate system too."""
    name = os.path.relpath(raster_folder(file, out) / f'{file.path.stem}_instances.json', out)
    annotations = ({'image_id': 1, **one} for one in polygons_to_annotations(instances))
    write_coco(out / name, info.classes, [{'id': 1, 'file_name': file.file_name}], annotations)
    return name
