"""What runs on a machine before anything of ours is installed there: the standard library only, Python 3.9 or later."""
