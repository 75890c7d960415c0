"""`python -m halotheory`."""

from halotheory.cli import main

main()
