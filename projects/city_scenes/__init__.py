"""Aerial images of buildings with heights, rendered at any angle, with labels of every kind."""
