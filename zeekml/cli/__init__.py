"""The command line: thin, it only parses options, shows results and picks exit codes."""

import sys

from zeekml.cli import interrupts

if sys.argv[1:2] == ["watch"]:
    # a service may be told to reload while it still reads in what it is made of
    interrupts.remember_reloads()
