"""Where two sets of pictures, such as rendered and real tiles, look different."""
