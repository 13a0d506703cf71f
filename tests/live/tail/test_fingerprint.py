from __future__ import annotations

from zeekml.live.tail.fingerprint import MAX_PREFIX, PREFIX_SIZE, identify, needs_more

HEADER = b"#separator \\x09\n#path\tconn\n#open\t2026-01-01-10-00-00\n#fields\tts\tuid\n"


def test_a_growing_file_stays_itself() -> None:
    data = HEADER + b"".join(b"%d\tC%d\n" % (i, i) for i in range(2000))
    identities = [identify(data[:n], 1, 2) for n in (70, 100, 5000, len(data))]
    assert all(i.matches(data[:MAX_PREFIX], (1, 2)) for i in identities)
    assert identities[-1].length == PREFIX_SIZE
    # once there is a record in it, in any place
    assert [i.matches(data[:MAX_PREFIX], (8, 9)) for i in identities] == [False, True, True, True]


def test_logs_with_one_header_are_told_apart_by_their_first_record() -> None:
    first, second = (identify(HEADER + record, 1, 2) for record in (b"1\ta\n", b"2\tb\n"))
    assert first.distinct
    assert first.opened is not None
    assert not first.matches(HEADER + b"2\tb\n", (1, 2))
    assert second.digest != first.digest
    assert not identify(HEADER, 1, 2).distinct
    assert not identify(HEADER + b"1\ta", 1, 2).distinct
    assert not identify(b"ts\tid.orig_h\tproto\n", 1, 2).distinct


def test_the_end_of_a_line_from_before_copytruncate_is_no_record() -> None:
    rest = identify(b"\n", 1, 2)
    assert not rest.distinct
    assert not identify(b"\r\n\n", 1, 2).distinct
    one = identify(b'\n{"flow_id":1}\n', 1, 2)
    assert one.distinct
    assert not one.matches(b'\n{"flow_id":2}\n', (1, 2))


def test_an_inode_that_is_used_again() -> None:
    old = identify(b'{"a":1}\n', 1, 2)
    assert not old.matches(b'{"b":1}\n{"a":1}\n', (1, 2))
    assert not old.matches(b"", (1, 2))


def test_the_first_record_is_in_it_however_long_the_header() -> None:
    header = b"#separator \\x09\n#fields\t" + b"x" * 10_000 + b"\n"
    found = identify(header + b"1\ta\n2\tb\n", 1, 2)
    assert found.length == len(header) + 4
    assert found.distinct
    assert needs_more(header)
    assert not needs_more(header + b"1\ta\n2\tb\n")


def test_a_record_that_never_ends() -> None:
    found = identify(b"x" * 2 * MAX_PREFIX, 1, 2)
    assert (found.length, found.distinct) == (MAX_PREFIX, True)
