"""The way of the users: a fixed address that passes each request to where the DNS record points now.

usage: edge.py PORT LAB_DIR

The record is kept for its TTL, as a client does. Without an answer from there: 502. It is not a load balancer, it
checks no health, and it does not try twice.
"""
import http.client
import sys

import lablib


class Edge(lablib.Handler):
    resolver = name = None

    def handle_call(self):
        body = self.body()
        try:
            address = self.resolver.address(self.name)
            link = http.client.HTTPConnection(address, timeout=4)
            try:
                kind = self.headers.get("Content-Type")
                link.request(self.command, self.path, body, {"Content-Type": kind} if kind else {})
                reply = link.getresponse()
                data = reply.read()
            finally:
                link.close()
        except (OSError, LookupError, ValueError, http.client.HTTPException) as error:
            return self.answer(502, {"error": f"{type(error).__name__}: {error}"})
        kind = reply.getheader("Content-Type") or "text/plain"
        return self.answer(reply.status, data, {"Content-Type": kind, "X-Served-By": address})

    do_GET = do_POST = do_HEAD = handle_call


if __name__ == "__main__":
    env = lablib.read_env(sys.argv[2])
    Edge.name = env["LAB_RECORD"]
    Edge.resolver = lablib.Resolver(env["AWS_ENDPOINT_URL"], lablib.load_balancers(env))
    lablib.Server(("127.0.0.1", int(sys.argv[1])), Edge).serve_forever()
