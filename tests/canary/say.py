"""Says a secret in every way that programs do: whole, in pieces, on both outputs. Usage: say.py HOW < or $S; exit code $E."""
import base64, binascii, json, os, sys, time, urllib.parse

secret = os.environ.get("S") or sys.stdin.read()
raw = secret.encode()


def forms():
    yield secret
    for before in ("", "u", "us", "user:"):
        for text in (before + secret, before + secret + ", and more"):
            for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
                coded = encode(text.encode()).decode()
                yield coded
                yield coded.rstrip("=")
                yield coded[:7] + "\n" + coded[7:]
    yield urllib.parse.quote(secret)
    yield urllib.parse.quote(secret, safe="")
    yield urllib.parse.quote_plus(secret)
    yield urllib.parse.quote(secret, safe="").replace("%2F", "%2f").replace("%C3%BC", "%c3%bc")
    yield json.dumps(secret)
    yield json.dumps(secret, ensure_ascii=False)
    yield json.dumps({"a": {"b": secret}})
    yield binascii.hexlify(raw).decode()
    yield binascii.hexlify(raw).decode().upper()


def whole():
    for n, text in enumerate(forms()):
        out = sys.stderr if n % 3 == 0 else sys.stdout
        print(f"<{text}>", file=out, flush=True)
        print(f"<{text}>", file=sys.stdout)


def pieces():
    # Byte by byte, the two outputs by turns; and around every border of what is read at once.
    for byte in raw:
        for fd in (1, 2):
            os.write(fd, bytes([byte]))
        time.sleep(0.001)
    for back in range(1, len(raw) + 2, len(raw) // 6):
        os.write(1, b"x" * (65536 - back) + raw)
        os.write(2, b"x" * (4096 - back) + raw)


{"whole": whole, "pieces": pieces, "both": lambda: (whole(), pieces())}[sys.argv[1]]()
sys.stdout.flush()
if sys.argv[2:] == ["hang"]:
    time.sleep(1000)
sys.exit(int(os.environ.get("E", "0")))
