"""How the value of a column of notice.log becomes a value of OCSF, ECS or CEF.

A conversion takes the value and all values of the notice, and gives None for what does not apply.
Its name and the first line of its docstring stand in ``docs/formats.md``.
"""
