"""``python -m onplan``."""

from onplan.cli import main

main()
