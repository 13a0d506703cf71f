"""`python -m zeekml`: the command line."""

from zeekml.cli.main import main

main()
