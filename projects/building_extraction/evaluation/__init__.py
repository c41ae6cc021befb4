"""Scores of building extraction: per height class, per object; roofs, offsets and heights; polygons."""

from .flipped_views import BuildingTTAModel
from .height_class_scores import HeightClassScores
from .roof_offset_metric import RoofOffsetMetric

__all__ = ['BuildingTTAModel', 'HeightClassScores', 'RoofOffsetMetric']
