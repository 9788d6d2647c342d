#!/usr/bin/env python3
"""What runs inside the guest of tests/faults/powercut: three nodes on the guest's own loopback, founded in the first
round, and either customers who write until the power goes (part "write"), or a look at what every node has (part
"check"). Says on the console: ACK round number KEPT, and HAVE node round number ONCE. Knows nothing of the outside."""
import http.client, json, os, re, socket, ssl, subprocess, sys, threading, time, urllib.parse

PROGRAM, PART, ROUND, SYNC = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "yes"
DATA = "/mnt/data"
NODES = {"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3"}
CONFIG = """version = 1
[node]
name = "{n}"
provider = "provider-{n}"
region = "region-{n}"
data-dir = "{d}/{n}"
socket = "/mnt/tmp/{n}.sock"
[cluster]
listen = "{ip}:7400"
[web]
names = ["localhost"]
https-listen = ["{ip}:8443"]
http-listen = []
certificates = "{d}/tls"
[company]
name = "Example Hosting"
languages = ["en"]
unhurried = ["127.0.0.0/8"]
[console]
listen = []
[telemetry]
metrics-listen = "{ip}:9464"
"""


def say(line):
    os.write(1, (line + "\n").encode())


def verb(node, *words):
    done = subprocess.run([PROGRAM, *words, "--json", "--config", f"{DATA}/{node}.toml"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{words}: {done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def start(node):
    before = [] if SYNC else ["eatmydata"]
    log = open(f"/mnt/tmp/{node}.log", "ab")
    subprocess.Popen([*before, PROGRAM, "run", "--config", f"{DATA}/{node}.toml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def until(what, look, patience=150):
    began = time.monotonic()
    while True:
        try:
            if look():
                return
            last = "not yet"
        except Exception as error:
            last = str(error)
        if time.monotonic() - began > patience:
            say(f"in vain: {what}: {last}")
            for node in NODES:
                say(open(f"/mnt/tmp/{node}.log").read()[-1500:])
            os._exit(1)
        time.sleep(0.2)


def agree():
    for node in NODES:
        told = verb(node, "status")["agreement"]
        if not (told["majority"] and told["voters"] == 3 and told["voters_reached"] == 3):
            return False
    return True


def nodes_up():
    for node, ip in NODES.items():
        if not os.path.exists(f"{DATA}/{node}/node.json"):
            with open(f"{DATA}/{node}.toml", "w") as config:
                config.write(CONFIG.format(n=node, d=DATA, ip=ip))
            os.makedirs(f"{DATA}/tls", exist_ok=True)
            os.sync()  # these files are the operator's, not the nodes'
            if node == "a":
                verb("a", "init")
            else:
                verb(node, "join", verb("a", "token", "create")["token"])
        start(node)
        until(f"{node} answers", lambda: verb(node, "status"))
    # Promotion of the newcomers takes an entry each.
    until("all agree", agree)


def write(worker):
    trust = ssl._create_unverified_context()  # who vouches for the certificate is no part of this story
    number, turn = worker, worker
    addresses = list(NODES.values())
    connection = body = None
    while True:
        try:
            if connection is None:
                connection = http.client.HTTPSConnection(addresses[turn % 3], 8443, timeout=15, context=trust)
            if body is None:
                connection.request("GET", "/write?lang=en", headers={"Host": "localhost:8443"})
                page = connection.getresponse().read().decode()
                token = re.search(r'name="token" value="([^"]+)"', page).group(1)
                fields = {"token": token, "lang": "en", "contact": f"c{number}@shop.example", "website": "", "reference": ""}
                fields["text"] = f"cut {ROUND} {number} end: our shop does not answer"
                body = urllib.parse.urlencode(fields)
            kind = "application/x-www-form-urlencoded"
            connection.request("POST", "/write", body, {"Host": "localhost:8443", "Content-Type": kind})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 303:
                say(f"ACK {ROUND} {number} KEPT")
                number, body = number + 8, None
            elif answer.status != 503:
                say(f"STRANGE {answer.status}")
                os._exit(1)
        except (OSError, http.client.HTTPException, AttributeError):
            connection, turn = None, turn + 1


def drained(node):
    box = verb(node, "status")["letterbox"]
    return box["drained"] and box["held"] == 0


def conversations(node):
    """Over the API, as a list has at most 1,000."""
    connection = http.client.HTTPConnection("localhost")
    found, after = [], ""
    while True:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(f"/mnt/tmp/{node}.sock")
        connection.request("GET", f"/api/v1/conversations?state=all&limit=1000{after}")
        page = json.loads(connection.getresponse().read())
        connection.close()
        found += page["conversations"]
        if not page["next"]:
            return found
        after = "&after=" + page["next"]


def check():
    for node in NODES:
        until(f"{node} has an empty letterbox", lambda: drained(node))
    until("all have the same state", lambda: len({verb(node, "status")["state"]["index"] for node in NODES}) == 1)
    for node in NODES:
        for it in conversations(node):
            found = re.match(r"cut (\d+) (\d+) end", it["excerpt"] or "")
            once = "ONCE" if it["messages"] == 1 else "TWICE"
            say(f"HAVE {node} {found.group(1)} {found.group(2)} {once}" if found else f"STRANGE {it['id']}")
    say("CHECKED")


nodes_up()
say("GUEST-READY")
if PART == "write":
    os.sync()  # the founding is over; from here on only what is synced by the nodes themselves survives
    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
else:
    check()
