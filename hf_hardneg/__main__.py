"""``python -m hf_hardneg``: the command line."""

from hf_hardneg.cli import main

main()
