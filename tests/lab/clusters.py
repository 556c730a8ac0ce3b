"""What makes the `kubectl` stand-in's words true: keeps as much of the app running as its replicas say.

usage: clusters.py LAB_DIR     (run and stopped by `lab`)

DIR/k8s/CONTEXT/platform/platform-api/replicas is what is wanted; this loop starts the region's app.py, starts it again
if it dies or is to work on another database (DIR/k8s/CONTEXT/database, a port), stops it at 0, and writes what is there to `ready` beside it. Any number above 0 is one process: it reports
as many ready as were asked for. With DIR/k8s/CONTEXT/unreachable present the cluster is gone and its app with it.
"""
import http.client
import os
import signal
import subprocess
import sys
import time

import lablib

HOME = os.path.dirname(os.path.abspath(__file__))


class Deployment:
    def __init__(self, directory, context, region, port):
        self.base = f"{directory}/k8s/{context}"
        self.place = f"{self.base}/platform/platform-api"
        self.directory, self.region, self.port = directory, region, port
        self.process = self.database = None
        self.log = f"{directory}/log/app-{region}.log"
        self.write_ready(0)

    def wanted(self):
        if os.path.exists(f"{self.base}/unreachable"):
            return 0
        try:
            with open(f"{self.place}/replicas", encoding="utf-8") as file:
                return int(file.read())
        except (OSError, ValueError):
            return 0

    def alive(self):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            link.request("GET", "/livez")
            return link.getresponse().status == 200
        except OSError:
            return False
        finally:
            link.close()

    def write_ready(self, count):
        self.ready = count
        with open(f"{self.place}/ready.new", "w", encoding="utf-8") as file:
            file.write(f"{count}\n")
        os.replace(f"{self.place}/ready.new", f"{self.place}/ready")

    def step(self):
        wanted = self.wanted()
        if self.process and self.process.poll() is not None:
            self.process = None
        with open(f"{self.base}/database", encoding="utf-8") as file:
            database = file.read().strip()
        if self.process and (wanted == 0 or database != self.database):
            self.stop()
        if wanted and not self.process:
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    [sys.executable, f"{HOME}/app.py", self.region, self.port, database, f"{self.base}/release"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.database = database
            with open(f"{self.directory}/pid/app-{self.region}", "w", encoding="utf-8") as file:
                file.write(f"{self.process.pid} {started(self.process.pid)}\n")
        count = wanted if self.process and (self.ready or self.alive()) else 0
        if count != self.ready:
            self.write_ready(count)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process = None


def started(pid):
    """The start time of a process, by which `lab` tells it from a later one with the same pid."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rsplit(")", 1)[1].split()[19]


def main():
    directory = sys.argv[1]
    env = lablib.read_env(directory)
    deployments = [
        Deployment(directory, "primary", env["LAB_REGION_EAST"], env["LAB_APP_EAST_PORT"]),
        Deployment(directory, "dr", env["LAB_REGION_WEST"], env["LAB_APP_WEST_PORT"]),
    ]

    def end(*_):
        for deployment in deployments:
            if deployment.process:
                deployment.stop()
        os._exit(0)
    signal.signal(signal.SIGTERM, end)
    while True:
        for deployment in deployments:
            deployment.step()
        time.sleep(0.05)


if __name__ == "__main__":
    main()
