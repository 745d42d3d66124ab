"""Verifies Knell's log by the specifications alone: RFC 6962 section 2.1, C2SP signed-note, tlog-checkpoint, tlog-tiles and tlog-proof.

It shares no code with Knell. Of its formats it knows what docs/verifiable.md says.
"""
import base64, hashlib, json, os, re, struct, urllib.error, urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

BASE, TOKEN = os.environ["REPLICAS"].split(",")[0], os.environ["AUDIT_TOKEN"]


def get(path, accept=None, base=BASE):
    headers = {"Authorization": "Bearer " + TOKEN}
    if accept:
        headers["Accept"] = accept
    with urllib.request.urlopen(urllib.request.Request(base + path, headers=headers), timeout=20) as r:
        return r.read(), r.headers


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf_hash(leaf):
    return sha(b"\0", leaf)


def mth(hashes):
    """The Merkle Tree Hash over leaf hashes."""
    if not hashes:
        return sha(b"")
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return sha(b"\1", mth(hashes[:k]), mth(hashes[k:]))


def open_note(note, vkey):
    """Returns the text of a note that the key has signed."""
    name, want, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    assert key[0] == 1 and len(key) == 33
    key_id = sha(name.encode(), b"\n", key)[:4]
    assert key_id.hex() == want, "hash of the key"
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, sig = line.split(" ")
        sig = base64.b64decode(sig, validate=True)
        if dash == "\u2014" and signer == name and sig[:4] == key_id:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(sig[4:], text.encode())
            return text
    raise AssertionError("not signed by the key")


def open_checkpoint(note, vkey):
    origin, size, root = open_note(note, vkey).splitlines()[:3]
    assert origin == vkey.split("+")[0], origin
    assert str(int(size)) == size
    return int(size), base64.b64decode(root, validate=True)


def tile_path(n):
    path = "%03d" % (n % 1000)
    while n >= 1000:
        n //= 1000
        path = "x%03d/" % (n % 1000) + path
    return path


def tile(level, n, width):
    suffix = "" if width == 256 else ".p/%d" % width
    body, headers = get("/transparency/tile/%s/%s%s" % (level, tile_path(n), suffix))
    assert headers["Content-Type"] == "application/octet-stream"
    return body


def verify_inclusion(leaf, index, size, path, root):
    """RFC 9162 section 2.1.3.2, which is RFC 6962's proof."""
    assert index < size
    fn, sn, r = index, size - 1, leaf
    for p in path:
        assert sn > 0
        if fn & 1 or fn == sn:
            r = sha(b"\1", p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha(b"\1", r, p)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0 and r == root, "inclusion"


def verify_consistency(first, second, path, first_root, second_root):
    """RFC 9162 section 2.1.4.2."""
    if first == second:
        assert not path and first_root == second_root
        return
    if first & (first - 1) == 0:
        path = [first_root] + path
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        assert sn > 0
        if fn & 1 or fn == sn:
            fr, sr = sha(b"\1", c, fr), sha(b"\1", c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = sha(b"\1", sr, c)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0 and fr == first_root and sr == second_root, "consistency"


STRING = r'"(?:[^"\\]|\\.)*"'
LINE = re.compile(r'(\{"sequence":"(\d{20})"(?:,"void":%s)?)((?:,"username":%s)?(?:,"actorname":%s)?)(.*)' % (STRING, STRING, STRING), re.S)


def leaf_of(line):
    """The leaf of a line of GET /events: the line without the names."""
    head, seq, _, rest = LINE.fullmatch(line).groups()
    leaf = (head + rest).encode()
    if len(leaf) > 65535:
        leaf = (head + ',"digest":"%s"}' % hashlib.sha256(leaf).hexdigest()).encode()
    return int(seq), leaf


def export():
    after, lines = 0, []
    while True:
        body, headers = get("/events?sealed=true&limit=1000&after=%d" % after, "application/x-ndjson")
        lines += body.decode().splitlines()
        after = int(headers["X-Knell-Cursor"])
        if "Link" not in headers:
            return lines


def main():
    vkey = get("/transparency/key")[0].decode().strip()
    note, headers = get("/transparency/checkpoint")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    size, root = open_checkpoint(note.decode(), vkey)
    assert size > 256, "the test wants a full tile, and there are %d leaves" % size
    for forged in (note.replace(b"\n%d\n" % size, b"\n%d\n" % (size + 1)), note.replace(b"knell/", b"knell.", 1)):
        try:
            open_checkpoint(forged.decode(), vkey)
        except (AssertionError, InvalidSignature):
            continue
        raise AssertionError("a forged checkpoint is good")

    # The tree, from the export, from the bundles and from the tiles.
    leaves = [leaf_of(line) for line in export()][:size]
    hashes = [leaf_hash(leaf) for _, leaf in leaves]
    assert mth(hashes) == root, "the export does not lead to the checkpoint"
    assert [s for s, _ in leaves] == sorted({s for s, _ in leaves})
    for n in range(-(-size // 256)):
        width = min(256, size - n * 256)
        level0, bundle = tile(0, n, width), tile("entries", n, width)
        assert level0 == b"".join(hashes[n * 256:n * 256 + width]), "tile %d" % n
        for _, leaf in leaves[n * 256:n * 256 + width]:
            length, = struct.unpack_from(">H", bundle)
            assert bundle[2:2 + length] == leaf
            bundle = bundle[2 + length:]
        assert not bundle
    for n in range(size // 256):
        assert tile(1, 0, size // 256)[n * 32:n * 32 + 32] == mth(hashes[n * 256:n * 256 + 256])

    # Proofs, of each kind of leaf.
    for seq, leaf in leaves[:3] + leaves[254:258] + leaves[-2:]:
        text = get("/events/%d/proof" % seq)[0].decode()
        head, _, checkpoint = text.partition("\n\n")
        lines = head.splitlines()
        assert lines[0] == "c2sp.org/tlog-proof@v1"
        assert base64.b64decode(lines[1].removeprefix("extra "), validate=True) == leaf
        index = int(lines[2].removeprefix("index "))
        now, now_root = open_checkpoint(checkpoint, vkey)
        verify_inclusion(leaf_hash(leaf), index, now, [base64.b64decode(h, validate=True) for h in lines[3:]], now_root)
        assert leaves[index] == (seq, leaf)

    # The log has only grown, and every replica says the same.
    for old in (1, 2, 255, 256, 257, size):
        for base in os.environ["REPLICAS"].split(","):
            head, _, checkpoint = get("/transparency/consistency?old=%d" % old, base=base)[0].decode().partition("\n\n")
            lines = head.splitlines()
            assert lines[0] == "old %d" % old
            now, now_root = open_checkpoint(checkpoint, vkey)
            verify_consistency(old, now, [base64.b64decode(h, validate=True) for h in lines[1:]], mth(hashes[:old]), now_root)

    # A receipt.
    login = urllib.request.Request(BASE + "/token", data=("grant_type=password&username=%s&password=%s" % (
        os.environ["USER_NAME"], os.environ["USER_PASSWORD"])).encode())
    with urllib.request.urlopen(login, timeout=20) as r:
        token = json.load(r)["access_token"]
    logout = urllib.request.Request(BASE + "/logout", data=b"", headers={
        "Authorization": "Bearer " + token, "Prefer": "return=representation", "Content-Type": "application/x-www-form-urlencoded"})
    with urllib.request.urlopen(logout, timeout=20) as r:
        assert r.status == 200, r.status
        receipt = json.load(r)
    lines = open_note(receipt["statement"], vkey).splitlines()
    head, _, checkpoint = receipt["proof"].partition("\n\n")
    proof = head.splitlines()
    leaf = base64.b64decode(proof[1].removeprefix("extra "), validate=True)
    now, now_root = open_checkpoint(checkpoint, vkey)
    verify_inclusion(leaf_hash(leaf), int(proof[2].removeprefix("index ")), now, [base64.b64decode(h) for h in proof[3:]], now_root)
    assert json.loads(leaf)["type"] == "knell.revoked.session" and "void" not in json.loads(leaf)
    assert lines[0] == "knell receipt v1" and lines[2] == "sequence %d" % int(json.loads(leaf)["sequence"])
    assert lines[4] == "leaf " + base64.b64encode(leaf_hash(leaf)).decode()
    assert len([l for l in lines if l.startswith("replica ") and l.split()[3] in ("applied", "lease-ended", "left")]) == 3
    print("verified", size, "leaves")


main()
