"""Register members' nodes at a SuperLink, all of them in one process: Flower's own `flwr supernode register` takes one
key a process, with a second and a half of processor time for each.

    python -m aggregator.carriers.register_nodes PORT AUTHORITY

Standard input: JSON, member -> its node's public key as OpenSSH writes it. Standard output: JSON, member -> node id.
"""

import json
import sys

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.proto.control_pb2 import RegisterNodeRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes


def main(port: str, authority: str) -> None:
    """Ends with 1 and the reason on standard error when one of them cannot be registered."""
    nodes: dict[str, str] = json.load(sys.stdin)
    version = RuntimeVersionHttpInterceptor(component_name="flwr CLI")
    client = ControlHttpClient.from_server_address(f"127.0.0.1:{port}", False, authority, [version])
    try:
        registered = {}
        for member, key in nodes.items():
            request = RegisterNodeRequest(public_key=_as_flower_has_it(key))
            registered[member] = client.RegisterNode(request).node_id
    finally:
        client.close()
    json.dump(registered, sys.stdout)


def _as_flower_has_it(key: str) -> bytes:
    public = load_ssh_public_key(key.encode())
    if not isinstance(public, EllipticCurvePublicKey):
        raise TypeError("a node's key is on an elliptic curve")  # the registry takes no other
    return public_key_to_bytes(public)


if __name__ == "__main__":
    main(*sys.argv[1:])
