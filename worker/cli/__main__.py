"""``python -m worker.cli`` is ``gatepost``."""

from worker.cli import main

main(prog_name="gatepost")
