"""The parts of an evaluation report, one module each: from a study to a section."""
