"""The state of a flow order besides its heap."""

cpdef enum:
    HELD = 0
    EXITING = 1
    STATE_WIDTH = 2
