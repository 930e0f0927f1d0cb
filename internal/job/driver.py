# SPDX-License-Identifier: MPL-2.0
"""What a job of the ray runtime is to Ray. Lies in the job's folder on the head.

driver.py submit     hand the job to Ray's job submission, once, under its own id
driver.py state      print what Ray says of it
driver.py lead       Ray's entrypoint: asks for one bundle a rank, on a node each,
                     and runs the ranks in them as long as the job's leader lives
driver.py attach N   be rank N for the leader: standard input and both outputs

The leader, runner.sh, keeps all records. What the ranks are sent, secrets among
it, crosses Ray's network encrypted.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import selectors
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
BEAT, SILENCE = 5, 30  # seconds between signs of life, and without one until a rank and its driver give each other up
HEADER = struct.Struct(">BI")  # which output, how many bytes


def base():
    """Where this node's Ray has its files. A function, since homes differ between nodes."""
    return os.path.join(os.path.expanduser("~"), ".sky", "ray")


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def fields(*path):
    """The NAME=value lines of a file; none where there is no file."""
    try:
        return dict(line.split("=", 1) for line in read(*path).splitlines() if "=" in line)
    except FileNotFoundError:
        return {}


def put(name, text):
    """Writes a file of the job's folder so that it is whole or not there."""
    path = os.path.join(HERE, name)
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(path + ".new", path)


# ---- Ray's job submission ----------------------------------------------------


def ask(path, body=None):
    state = fields(base(), "state")
    request = urllib.request.Request(
        f"http://{state['address']}:{state['dashboard']}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + read(base(), "token"), "Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return json.loads(answer.read())


def submit():
    job = json.loads(read(HERE, "ray.json"))
    entrypoint = "exec " + shlex.join((sys.executable, "-I", os.path.join(HERE, "driver.py"), "lead"))
    body = {"entrypoint": entrypoint, "submission_id": job["id"], "metadata": {"name": job["name"]}}
    for last in (False, False, True):
        try:
            ask("/api/jobs/", body)
            return
        except urllib.error.HTTPError as e:
            text = e.read().decode(errors="replace")
            if "already exists" in text:  # an earlier try whose answer was lost
                return
            problem = f"{e}: {text[-400:]}"
        except OSError as e:
            problem = str(e)
        if last:
            sys.exit(f"Ray did not take the job: {problem}")
        time.sleep(2)


def state():
    job = json.loads(read(HERE, "ray.json"))
    try:
        found = ask("/api/jobs/" + job["id"])
    except (OSError, KeyError) as e:
        sys.exit(str(e))
    print(found["status"], " ".join((found.get("message") or "").split())[-500:])


# ---- the leader's side -------------------------------------------------------


def attach(rank):
    """Connects standard input and outputs with a rank, through the driver."""
    os.chdir(HERE)  # the names of sockets are short
    conn = socket.socket(socket.AF_UNIX)
    conn.connect("socket")
    conn.sendall(b"%d\n" % rank)

    def feed():
        try:
            while chunk := os.read(0, 1 << 16):
                conn.sendall(chunk)
            conn.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the rank has ended meanwhile

    threading.Thread(target=feed, daemon=True).start()
    stream = conn.makefile("rb")
    while len(header := stream.read(HEADER.size)) == HEADER.size:
        which, size = HEADER.unpack(header)
        left = memoryview(stream.read(size))
        while left:
            left = left[os.write(which, left) :]


# ---- the ranks ---------------------------------------------------------------


def cipher():
    """Encrypts between the nodes of the cluster, which share a secret."""
    from cryptography.fernet import Fernet

    key = hmac.new(read(base(), "secret").strip().encode(), b"input", hashlib.sha256).digest()
    return Fernet(base64.urlsafe_b64encode(key))


def plain_environment():
    """The environment of this node's Ray, without what Ray and we put there."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "SKY_RAY_"))}
    env.pop("TMPDIR", None)
    if os.environ.get("SKY_RAY_TMPDIR"):
        env["TMPDIR"] = os.environ["SKY_RAY_TMPDIR"]
    for name in ("PYTHONNOUSERSITE", "PYTHONUNBUFFERED", "PYTHONBREAKPOINT"):
        env.pop(name, None)
    try:
        with open(f"/proc/{os.getppid()}/environ", "rb") as f:
            if b"\0OMP_NUM_THREADS=" not in b"\0" + f.read():
                env.pop("OMP_NUM_THREADS", None)
    except OSError:
        env.pop("OMP_NUM_THREADS", None)
    return env


class Rank:
    """A rank in its bundle, with the runner of the ssh runtime as its process."""

    def start(self, job, rank):
        import ray

        env = plain_environment()
        devices = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        if devices:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        home = os.path.expanduser("~")
        self.secret = cipher()
        self.heard = time.monotonic()
        # Ray blocks SIGINT in its processes, and a process inherits what its thread blocks.
        blocked = signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self.process = subprocess.Popen(
            ["sh", os.path.join(home, ".sky", "jobs", job, "runner.sh"), "rank", str(rank)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=home,
            env=env,
            bufsize=0,
            start_new_session=True,
        )
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        threading.Thread(target=self.listen, daemon=True).start()

    def beat(self):
        self.heard = time.monotonic()

    def listen(self):
        """Ends the rank when the driver is no more heard of: Ray may take minutes to notice."""
        while self.process.poll() is None:
            time.sleep(1)
            if time.monotonic() - self.heard > SILENCE:
                self.process.stdin.close()
                return

    def write(self, data):
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended, or is told to
            self.process.stdin.write(self.secret.decrypt(data))

    def close(self, patience=0):
        """The rank ends what it runs; the answer comes once it has, or patience is over."""
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)

    def output(self):
        ready = selectors.DefaultSelector()
        ready.register(self.process.stdout, selectors.EVENT_READ, 1)
        ready.register(self.process.stderr, selectors.EVENT_READ, 2)
        while ready.get_map():
            for key, _ in ready.select():
                if data := os.read(key.fd, 1 << 18):
                    yield key.data, data
                else:
                    ready.unregister(key.fileobj)
        self.process.wait()


def spared(job):
    """On a node without a rank; "ended" is what prune.sh goes by there."""
    folder = os.path.join(os.path.expanduser("~"), ".sky", "jobs", job)
    if os.path.isdir(folder):
        with open(os.path.join(folder, "ended"), "a", encoding="utf-8"):
            pass
        shutil.rmtree(os.path.join(folder, "workdir"), ignore_errors=True)


# ---- the driver --------------------------------------------------------------


class Driver:
    def __init__(self):
        import ray

        self.ray = ray
        self.job = json.loads(read(HERE, "ray.json"))
        self.leader = fields(HERE, "started")
        self.actors = {}
        self.lock = threading.Lock()
        self.secret = cipher()

    def leads(self):
        """Whether the leader lives and has not recorded the job's end."""
        if os.path.exists(os.path.join(HERE, "exit")):
            return False
        try:
            stat = read("/proc", self.leader["pid"], "stat").rsplit(")", 1)[1].split()
        except (OSError, KeyError, IndexError):
            return False
        return stat[0] not in "ZX" and stat[19] == self.leader["born"]

    def run(self):
        from ray.util.placement_group import placement_group, remove_placement_group

        self.ray.init(_node_ip_address=fields(base(), "state")["address"], log_to_driver=False, logging_level="ERROR")
        signal.signal(signal.SIGTERM, stopped)  # after Ray's own
        bundle = {k: v for k, v in self.job["bundle"].items() if v > 0}
        if not self.possible(bundle):
            return
        self.group = placement_group([bundle] * self.job["nodes"], strategy="STRICT_SPREAD", name=self.job["id"])
        while not self.group.wait(timeout_seconds=0.5):
            if not self.leads():
                return
        self.order()
        self.serve()
        while self.leads():
            time.sleep(0.1)
        self.end()
        remove_placement_group(self.group)

    def possible(self, bundle):
        """Waits a little for nodes that could take the job even if it were alone."""
        able = 0
        for _ in range(300):
            if not self.leads():
                return False
            nodes = [n["Resources"] for n in self.ray.nodes() if n["Alive"]]
            able = sum(all(n.get(k, 0) >= v for k, v in bundle.items()) for n in nodes)
            if able >= self.job["nodes"]:
                return True
            if len(nodes) >= len(self.job["addresses"]):
                break  # all are there
            time.sleep(0.2)
        asked = ", ".join(f"{v:g} {k}" for k, v in bundle.items())
        put("refused", f"the job asks for {self.job['nodes']} nodes with {asked} each, and Ray has {able} such nodes of {len(nodes)}\n")
        return False

    def order(self):
        """Numbers the bundles in the order of the cluster's nodes."""
        from ray.util.placement_group import placement_group_table

        place = {a: i for i, a in enumerate(self.job["addresses"])}
        address = {n["NodeID"]: n["NodeManagerAddress"] for n in self.ray.nodes()}
        where = {int(b): address[n] for b, n in placement_group_table(self.group)["bundles_to_node_id"].items()}
        self.bundles = sorted(where, key=lambda b: (place.get(where[b], len(place)), where[b]))
        self.listener = socket.socket(socket.AF_UNIX)
        os.chdir(HERE)
        self.listener.bind("socket")
        self.listener.listen(128)
        put("placement", "".join(where[b] + "\n" for b in self.bundles))
        used = set(placement_group_table(self.group)["bundles_to_node_id"].values())
        for node in self.ray.nodes():
            if node["Alive"] and node["NodeID"] not in used:
                self.spare(node["NodeID"])

    def spare(self, node):
        """Tells a node that none of the ranks is its own: what waits there for one may go."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        self.ray.remote(spared).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy).remote(self.job["id"])

    def serve(self):
        def accept():
            while True:
                conn, _ = self.listener.accept()
                threading.Thread(target=self.carry, args=(conn,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def make(self, rank):
        """A new actor for a rank; an earlier one of it gives its bundle back."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        with self.lock:
            if rank in self.actors:
                self.ray.kill(self.actors[rank])
            bundle = dict(self.job["bundle"])
            strategy = PlacementGroupSchedulingStrategy(self.group, placement_group_bundle_index=self.bundles[rank])
            actor = (
                self.ray.remote(Rank)
                .options(
                    num_cpus=bundle.pop("CPU", 0),
                    num_gpus=bundle.pop("GPU", 0),
                    resources={k: v for k, v in bundle.items() if v > 0},
                    scheduling_strategy=strategy,
                    max_concurrency=8,
                )
                .remote()
            )
            self.actors[rank] = actor
        return actor

    def carry(self, conn):
        """Carries between one attached client and its rank until either ends."""
        try:
            rank = int(conn.makefile("rb", buffering=0).readline())
            actor = self.make(rank)
            self.ray.get(actor.start.remote(self.job["id"], rank))
            threading.Thread(target=self.feed, args=(conn, actor), daemon=True).start()
            threading.Thread(target=self.beat, args=(conn, actor), daemon=True).start()
            generator = actor.output.options(num_returns="streaming", _generator_backpressure_num_objects=32).remote()
            for chunk in generator:
                which, data = self.ray.get(chunk)
                conn.sendall(HEADER.pack(which, len(data)) + data)
        except Exception as e:  # whatever it was, the leader is told by the end of the connection
            print(f"rank's connection ended: {e!r}", file=sys.stderr, flush=True)
        finally:
            hang_up(conn)
            conn.close()

    def feed(self, conn, actor):
        try:
            while data := conn.recv(1 << 16):
                self.ray.get(actor.write.remote(self.secret.encrypt(data)))
        except Exception as e:
            print(f"rank's input ended: {e!r}", file=sys.stderr, flush=True)
        with contextlib.suppress(Exception):
            self.ray.get(actor.close.remote())  # the rank ends what it runs

    def beat(self, conn, actor):
        """Ends the connection to a rank whose node does not answer."""
        try:
            while conn.fileno() >= 0:
                self.ray.get(actor.beat.remote(), timeout=SILENCE)
                time.sleep(BEAT)
        except Exception as e:
            print(f"rank does not answer: {e!r}", file=sys.stderr, flush=True)
            hang_up(conn)

    def end(self):
        """Lets ranks that still run end their processes before Ray ends them."""
        with self.lock:
            closing = [actor.close.remote(self.job["patience"]) for actor in self.actors.values()]
        for ref in closing:
            with contextlib.suppress(Exception):
                self.ray.get(ref)


def hang_up(conn):
    """Ends a connection for both sides, whoever may be reading from it."""
    with contextlib.suppress(OSError):
        conn.shutdown(socket.SHUT_RDWR)


def stopped(*_):
    """Ray was asked to end the job: so is the leader, whose record counts."""
    with open(os.path.join(HERE, "cancel"), "a", encoding="utf-8"):
        pass
    try:
        fd = os.open(os.path.join(HERE, "events"), os.O_RDWR | os.O_NONBLOCK)
        os.write(fd, b"cancel\n")
        os.close(fd)
    except OSError:
        pass


def lead():
    driver = Driver()
    driver.run()
    end = fields(HERE, "exit")
    sys.stdout.flush()
    os._exit(0 if end.get("phase") == "SUCCEEDED" else int(end.get("code") or 1) & 255 or 1)


def main():
    mode = sys.argv[1]
    if mode == "attach":
        attach(int(sys.argv[2]))
    else:
        {"submit": submit, "state": state, "lead": lead}[mode]()


if __name__ == "__main__":
    main()
