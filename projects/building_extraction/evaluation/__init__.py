"""Scores of building extraction: per height class, per object, and of the labels themselves."""

from .height_class_scores import HeightClassScores

__all__ = ['HeightClassScores']
