"""What pillow raises of image files that are absent or broken."""

from PIL import Image

PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
