"""Secure aggregation: the coordinator learns one sum over the survivors and nothing else.

Bonawitz et al. 2017 (CCS), "Practical Secure Aggregation for Privacy-Preserving Machine Learning", the variant for a
malicious server with signatures and a consistency check; differences are argued in docs/security.md.

    messages     what is said at each step                primitives   X25519, HKDF, AES, masks
    contexts     the digests that bind everything         shamir       secret sharing
    client       the member's machine                     server       the coordinator's machine
    history      what a member may still say after what it has said
    transitions  both machines as tables              refusals     everything an honest member refuses

No clocks, no sockets, no files: bytes and messages in, messages out.
"""
