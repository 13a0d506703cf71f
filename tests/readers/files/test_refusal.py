from __future__ import annotations

import struct

import pytest

from zeekml.readers.files.file_type import detect


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1), "run Zeek or Suricata on it"),
        (struct.pack(">IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1), "packet capture"),
        (b"\n\r\r\n\x1c\0\0\0M<+\x1a", "packet capture"),
        (b"\x04\x22\x4d\x18abc", "LZ4"),
        (b"PK\x03\x04\x14\0", "ZIP archive; unpack it first"),
        (b"conn.log" + b"\0" * 249 + b"ustar\x0000", "tar archive"),
        (b"SQLite format 3\0", "as Parquet"),
        (b"ts,uid,id.orig_h,id.orig_p\n1,C,10.0.0.1,5\n", "comma-separated"),
        (b"ts;uid;id.orig_h;id.orig_p\n", "comma-separated"),
        (b"[1:2:0] attack, of, some, kind {TCP} 10.0.0.1\n", 'begins with "[1:2:0] attack'),
        (b"\x00\x01\x02\x03", "binary data"),
        (b'{"level": "info", "msg": "started"}\n', "(level, msg)"),
        (b"1.5\tC1\t10.0.0.1\t10.0.0.2\ttcp\n", "5 tab-separated columns and no header"),
        (b"#separator \\x09\n#path\tconn\n1\t2\t3\t4\n", "no #fields line"),
        (b"#separator \\x09\n#path\tconn\n#fields\tts\tproto\n", "lacks id.orig_h, id.resp_h"),
        (b"#separator \\x09\n#path\tssh\n#fields\tts\tuid\n", "another Zeek log (ssh)"),
    ],
)
def test_what_a_file_is_instead(head: bytes, says: str) -> None:
    found = detect(head, "x")
    assert found.kind is None
    text = found.explanation
    assert says in text
    assert "; " in text
    assert "Suricata enable" not in text
    assert text.isprintable()
