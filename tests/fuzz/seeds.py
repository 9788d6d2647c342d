#!/usr/bin/env python3
"""Writes the corpora that fuzzing starts from: tests/fuzz/seeds.py FOLDER makes FOLDER/TARGET/NAME for every target. They
are made here instead of kept as binary files: archives by Python's own tools, records from the golden bytes that the
tests hold, configurations from config/. Run again it writes the same bytes."""
import gzip, io, pathlib, re, sys, tarfile, zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = pathlib.Path(sys.argv[1])


def keep(target, name, data):
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


FORM = "token=v1.18c.AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA&lang=en&text=Our+shop+does+not+answer&contact=jana%40shop.example&reference=shop.example&website="
keep("form", "letter", FORM)
keep("form", "phone", FORM.replace("jana%40shop.example", "%2B420+123+456+789").replace("lang=en", "lang=cs"))
keep("form", "ticket", "code=LB-7K3M-9QXR&contact=jana%40shop.example&asked=1&token=x")
keep("form", "trap", FORM + "http%3A%2F%2Fspam.example")
keep("form", "not-utf8", b"text=%ff%fe\xff\xfe&contact=%00&text=again&unknown=1&&&=")

HEADS = {
    "page": "GET / HTTP/1.1\nhost: help.example.net\naccept-encoding: br;q=0.5, gzip, zstd;q=0\naccept-language: cs-CZ,en;q=0.7",
    "range": 'GET /map.bin HTTP/1.1\nhost: help.example.net:443\nrange: bytes=0-9, 20-, -5\nif-range: "x"',
    "condition": 'HEAD /style.3f9c01ab.css HTTP/1.1\nhost: HELP.example.net.\nif-none-match: W/"a", "b", *\nif-match: "c"',
    "borrowed": "GET /a/b?lang=cs HTTP/2\nhost: www.example.com\nsec-fetch-dest: style\nservice-worker: script",
    "whole": "OPTIONS https://help.example.net/help/ HTTP/1.1\nhost: other.example",
    "folder": "GET /help?x=1 HTTP/1.1\nhost: help.example.net",
}
for name, head in HEADS.items():
    keep("request", name, head)

PAGE = b"<!doctype html><title>Help</title><p>We are here.</p><script>1</script><style>p{}</style>" * 3
FILES = [("index.html", PAGE), ("404.html", b"lost"), ("help/index.html", PAGE), ("style.3f9c01ab.css", b"body{}"), (".git/HEAD", b"x")]


def tar(files, kind=tarfile.REGTYPE, form=tarfile.USTAR_FORMAT):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=form) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "index.html" if kind != tarfile.REGTYPE else ""
            archive.addfile(info, io.BytesIO(content))
    return held.getvalue()


def zipped(files, method):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return held.getvalue()


def zstd(data):
    """One frame of raw blocks (RFC 8878): no tool is needed to write it."""
    frame = b"\x28\xb5\x2f\xfd\x00\x50"
    blocks = [data[at:at + 60_000] for at in range(0, len(data), 60_000)]
    for at, block in enumerate(blocks):
        frame += ((len(block) << 3) | (at == len(blocks) - 1)).to_bytes(3, "little") + block
    return frame


whole = tar(FILES)
keep("bundle", "ustar", whole)
keep("bundle", "gnu", tar(FILES + [("a/" * 60 + "long.html", PAGE)], form=tarfile.GNU_FORMAT))
keep("bundle", "pax", tar(FILES + [("ž/" * 60 + "long.html", PAGE)], form=tarfile.PAX_FORMAT))
keep("bundle", "link", tar([("index.html", b"")], tarfile.SYMTYPE))
keep("bundle", "escape", tar([("../index.html", PAGE)]))
keep("bundle", "gz", gzip.compress(whole, mtime=0))
keep("bundle", "zst", zstd(whole))
keep("bundle", "zip-stored", zipped(FILES, zipfile.ZIP_STORED))
keep("bundle", "zip-deflated", zipped(FILES, zipfile.ZIP_DEFLATED))
keep("bundle", "cut-short", gzip.compress(whole, mtime=0)[:200])

# golden(RECORD, "hex"): the bytes of the first release.
golden = re.findall(r'"(01[0-9a-f]{4,})"', (ROOT / "src/cluster/encoding/tests.rs").read_text())
for at, text in enumerate(golden):
    frame = bytes.fromhex(text)
    keep("records", f"golden-{at:02}", frame)
    keep("frames", f"golden-{at:02}", b"\x03" + len(frame).to_bytes(4, "big") + frame)
    keep("frames", f"bare-{at:02}", b"\x00" + frame)
keep("frames", "a-length-that-lies", b"\x01\xff\xff\xff\xff")


def var(number):
    out = b""
    while number >= 128:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def text(words):
    return var(len(words)) + words.encode()


# A proposal as postcard writes it: format, client id, actor, source, origin, no stamp; the fuzzer makes commands of the rest.
def proposal(command, client):
    actor = b"\x00" if client % 2 else b"\x05"
    return var(1) + bytes([client]) * 16 + actor + b"\x00\x00" + var(1) + b"\x00" + command


for at in range(40):
    one = proposal(bytes([at]) + bytes([at]) * 60, at)
    keep("apply", f"command-{at:02}", bytes([len(one)]) + one + bytes([len(one)]) + one)
    keep("records", f"proposal-{at:02}", one)

keep("snapshot", "empty", bytes(40))
keep("snapshot", "founded", b"\x01\x05\x01" + bytes([7] * 16) + text("rescue") + bytes(60))

for example in sorted((ROOT / "config").glob("*.toml")):
    keep("config", example.stem, example.read_text())
keep("config", "wrong", 'version = 9\n[web]\nhttps-listen = [":443"]\n[nod]\n[mail]\nrelays = 3\n')

keep("tokens", "join", "LB1." + "07" * 16 + "." + "A" * 52 + ".a.example.net:7400,[::1]:7400,192.0.2.1:7400." + "1f" * 8 + "." + "B" * 32)
keep("tokens", "newer", "LB2.anything")
for name, words in {"code": "LB-7K3M-9QXR", "small": " lb 7k3m 9qxr ", "link": "AAAAAAAAAAAAAAAAAAAAAA", "keys": "lifeboat service key 1\n1 " + "00" * 32}.items():
    keep("tokens", name, words)

keep("smtp", "greeting", b"\x07220 mail.example.test ESMTP\r\n250-mail\r\n250-SIZE 10240000\r\n250-AUTH=PLAIN LOGIN\r\n250-STARTTLS\r\n250 8BITMIME\r\n")
keep("smtp", "refusal", b"\x40550-5.1.1 <jana@shop.example>\n550 5.1.1 no such person\n421\r\n354 go on\r\n")
keep("smtp", "broken", b"\x01250-a\r\n251 b\r\n99 x\r\n2500\r\n")

keep("multipart", "form", b"\x07--a\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nHelp\r\n--a\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n\x89PNG\r\n\x1a\n\0\0\0\rIHDR\r\n--a--\r\n")
keep("mail", "report", b"\x07From: MAILER-DAEMON <>\r\nSubject: Undelivered\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n--x\r\n\r\n550 5.1.1 user unknown\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--x--\r\n.\r\nQUIT\r\n")
keep("mail", "letter", b"\x01From: a@b.example\r\nSubject: =?iso-8859-2?Q?=F8?=\r\n\r\n..x\r\n> y\r\n-- \r\nz\r\n.\r\n")

keep("domain", "wire", b"\x03www\x07example\x04test\x00\x00\x01*\x07example\x04test\x00")
keep("domain", "text", r"www.example.test. @ a\.b\032c \000x AAAA TYPE65280 *.z.example")
keep("domain", "set", b"\x03\x01a\x00" + var(28) + var(300) + b"\x01\x04\x7f\x00\x00\x01")
print(f"{sum(1 for it in OUT.rglob('*') if it.is_file())} seeds in {OUT}")
