from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeekml.live.tail.event_buffer import MAX_HEADER, HeaderMemory
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.zeek_tsv import TsvDecoder
from zeekml.readers.rejects import ReadCounters, SourceAccount

FIELDS = b"ts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto"
RECORD = b"1.0\tC1\t10.0.0.1\t1\t10.0.0.2\t2\ttcp\n"
LINES = st.sampled_from(
    [
        b"#separator \\x09\n",
        b"%separator |\n",
        b"#set_separator\t,\n",
        b"#unset_field\t-\n",
        b"#path\tconn\n",
        b"#path\tdns\n",
        b"#open\t2026-01-01-00-00-00\n",
        b"#fields\t" + FIELDS + b"\n",
        b"#fields\tts\tuid\n",
        b"%fields|ts|uid\n",
        b"#types\ttime\tstring\n",
        b"#close\t2026-01-01-00-00-00\n",
        b"# a comment\n",
        FIELDS + b"\n",
        RECORD,
        b"2\n",
    ]
)


def decoder() -> TsvDecoder:
    return TsvDecoder(SourceAccount("test", ReadCounters(), None))


@given(st.lists(LINES, max_size=12), st.integers(0, 12))
def test_it_stands_for_all_that_was_before(lines: list[bytes], cut: int) -> None:
    memory, straight = HeaderMemory(), decoder()
    parts = [b"".join(lines[:cut]), b"".join(lines[cut:])]
    for i, part in enumerate(filter(None, parts)):
        memory.see(Block(part, 1), begins=i == 0)
        straight.pass_over(Block(part, 1))
    again = decoder()
    if memory.text:
        again.pass_over(Block(memory.text, 1))
        assert again._headers.header == straight._headers.header
    assert HeaderMemory(memory.text).text == memory.text


def test_a_resumed_decoder_reads_records_and_counts_nothing_twice() -> None:
    memory = HeaderMemory()
    memory.see(Block(b"#separator \\x09\n#path\tconn\n#fields\t" + FIELDS + b"\n", 1), begins=True)
    counters = ReadCounters()
    resumed = TsvDecoder(SourceAccount("test", counters, None))
    resumed.pass_over(Block(memory.text, 1))
    batches = resumed.decode(Block(RECORD, 17))
    assert [batch.column("line").to_pylist() for batch in batches] == [[17]]
    assert counters.records_read == 1


def test_the_end_of_a_log_is_seen() -> None:
    memory = HeaderMemory()
    memory.see(Block(b"#separator \\x09\n1\n#close\tx\n", 1), begins=True)
    assert memory.reader.closed
    memory.see(Block(b"2\n", 4), begins=False)
    assert not memory.reader.closed


def test_it_stays_small() -> None:
    memory = HeaderMemory()
    for i in range(100):
        memory.see(Block(b"#fields\t" + b"%d" % i * 9000 + b"\n", 1), begins=False)
        memory.see(Block(b"#comment\t" + b"%d" % i * 9000 + b"\n", 1), begins=False)
    memory.see(Block(b"#path\t" + b"x" * MAX_HEADER + b"\n", 1), begins=False)
    assert memory.text == b"#fields\t" + b"99" * 9000 + b"\n"


def test_json_has_none() -> None:
    memory = HeaderMemory()
    memory.see(Block(b'{"event_type":"#fields\\tx"}\n{"a":"#"}\n', 1), begins=True)
    assert memory.text == b""
