"""A package, so that processes which tests start find these files and not other packages' tests."""
