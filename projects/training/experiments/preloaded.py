"""Imported by the server that forks runs, which has to have their modules: see `workers`."""

from .workers import preload

preload()
