"""Labelled datasets, as training and evaluation read them: flow tables, and logs with labels.

`read` turns command-line arguments into `environment.Environment`s; `labelled_table` and
`labelled_logs` read one each; `label_*` understand label files and the names of classes;
`data_report` says what an environment holds.
"""
