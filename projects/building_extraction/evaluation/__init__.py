"""Scores of building extraction: per height class, per object, and of the labels themselves."""

from .flipped_views import BuildingTTAModel
from .height_class_scores import HeightClassScores

__all__ = ['BuildingTTAModel', 'HeightClassScores']
