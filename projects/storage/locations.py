"""Where files are that a user names."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def locate(path: str | Path) -> Path:
    """An absolute path: as it is, else in the current folder if it exists there, else in the project's folder."""
    path = Path(path).expanduser()
    return path if path.is_absolute() or path.exists() else ROOT / path
